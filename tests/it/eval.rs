//! Evaluation: golden vectors of readers, marks and statistics, worked by hand or taken from published behaviour.

mod calibration;
mod charts;
mod examples;
mod held;
mod overlap;
mod page;
mod pictures;
mod readers;
mod replies;
mod rotations;
mod statistics;
mod tables;
mod tabletop;
