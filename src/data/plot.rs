//! Charts as SVG: lines over numbers or over names, a radar, a reliability diagram. Text is set by who shows the file; no font is read.

use plotters::prelude::*;
use plotters::style::FontTransform;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 560);
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(110, 110, 110),
    RGBColor(0, 0, 0),
];
const PALE: RGBColor = RGBColor(215, 218, 224);

type Failed = Box<dyn std::error::Error>;

/// A line with its name; points in the order of x, some perhaps with an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// x, lower and upper end of y.
    pub intervals: Vec<(f64, f64, f64)>,
}

/// What stands around the lines.
#[derive(Clone, Debug, Default)]
pub struct Frame<'a> {
    /// Above the chart.
    pub title: &'a str,
    /// Below the x axis.
    pub x: &'a str,
    /// Beside the y axis.
    pub y: &'a str,
    /// Names at x = 0, 1, …; numbers where there are none.
    pub names: Vec<String>,
    /// Both axes go from 0 to 100 %, and a diagonal is drawn.
    pub diagonal: bool,
    /// y is a share, written in percent.
    pub percent: bool,
}

/// Draws lines.
///
/// # Errors
/// What the drawing library says.
pub fn lines(frame: &Frame, series: &[Series]) -> Result<String, Failed> {
    let mut out = String::new();
    {
        let root = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (x, y) = bounds(frame, series);
        let mut chart = ChartBuilder::on(&root)
            .caption(frame.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        let by_name = |x: &f64| {
            let near = (x.round() - x).abs() < 1e-6 && *x >= 0.0;
            frame.names.get(x.round() as usize).filter(|_| near).cloned().unwrap_or_default()
        };
        let by_number = |x: &f64| if frame.percent && frame.diagonal { percent(*x) } else { plain(*x) };
        let label = |x: &f64| if frame.names.is_empty() { by_number(x) } else { by_name(x) };
        let height = |y: &f64| if frame.percent { percent(*y) } else { plain(*y) };
        chart
            .configure_mesh()
            .x_desc(frame.x)
            .y_desc(frame.y)
            .x_labels(if frame.names.is_empty() { 11 } else { 2 * frame.names.len() + 1 })
            .x_label_formatter(&label)
            .y_label_formatter(&height)
            .label_style(("sans-serif", 13))
            .light_line_style(WHITE)
            .bold_line_style(PALE)
            .disable_x_mesh()
            .draw()?;
        if frame.diagonal {
            chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
        }
        for (at, one) in series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            chart.draw_series(
                one.intervals.iter().map(|&(x, low, high)| PathElement::new([(x, low), (x, high)], colour.mix(0.5))),
            )?;
            chart
                .draw_series(LineSeries::new(one.points.iter().copied(), colour.stroke_width(2)))?
                .label(&one.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            if one.points.len() <= 40 {
                chart.draw_series(one.points.iter().map(|&p| Circle::new(p, 3, colour.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .label_font(("sans-serif", 13))
            .background_style(WHITE.mix(0.85))
            .border_style(PALE)
            .position(if frame.diagonal { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight })
            .draw()?;
        root.present()?;
    }
    Ok(out)
}

/// Draws shares on spokes: one spoke a name, one ring a series; `values[series][spoke]`, none where a series has a hole.
///
/// # Errors
/// What the drawing library says.
pub fn radar(title: &str, spokes: &[String], series: &[(String, Vec<Option<f64>>)]) -> Result<String, Failed> {
    let mut out = String::new();
    {
        let root = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (cx, cy, radius) = (400.0, 300.0, 200.0);
        let at = |spoke: usize, share: f64| {
            let angle = std::f64::consts::TAU * spoke as f64 / spokes.len().max(1) as f64;
            ((cx + radius * share * angle.sin()).round() as i32, (cy - radius * share * angle.cos()).round() as i32)
        };
        let text = |size: i32| ("sans-serif", size).into_font().transform(FontTransform::None);
        root.draw(&Text::new(title.to_owned(), (16, 12), text(20)))?;
        for ring in 1..=4 {
            let share = f64::from(ring) / 4.0;
            let mut corners: Vec<(i32, i32)> = (0..spokes.len()).map(|s| at(s, share)).collect();
            corners.extend(corners.first().copied());
            root.draw(&PathElement::new(corners, PALE))?;
            root.draw(&Text::new(percent(share), (cx as i32 + 4, at(0, share).1 - 12), text(11)))?;
        }
        for (spoke, name) in spokes.iter().enumerate() {
            root.draw(&PathElement::new([at(spoke, 0.0), at(spoke, 1.0)], PALE))?;
            let (x, y) = at(spoke, 1.08);
            // Left of the centre a name ends at its spoke; 7 pixels are a letter's usual width.
            let width = 7 * name.chars().count() as i32;
            let x = if x < cx as i32 - 4 {
                x - width
            } else if x > cx as i32 + 4 {
                x
            } else {
                x - width / 2
            };
            root.draw(&Text::new(name.clone(), (x, y - 7), text(13)))?;
        }
        for (row, (name, values)) in series.iter().enumerate() {
            let colour = COLOURS[row % COLOURS.len()];
            // A hole breaks the ring.
            let corners: Vec<Option<(i32, i32)>> = (0..=spokes.len())
                .map(|s| (s % spokes.len().max(1), values.get(s % spokes.len().max(1))))
                .map(|(s, v)| Some(at(s, (*v?)?)))
                .collect();
            for pair in corners.windows(2) {
                if let [Some(a), Some(b)] = pair {
                    root.draw(&PathElement::new([*a, *b], colour.stroke_width(2)))?;
                }
            }
            for point in corners.iter().flatten() {
                root.draw(&Circle::new(*point, 3, colour.filled()))?;
            }
            let y = 60 + 22 * row as i32;
            root.draw(&PathElement::new([(700, y), (722, y)], colour.stroke_width(2)))?;
            root.draw(&Text::new(name.clone(), (730, y - 7), text(13)))?;
        }
        root.present()?;
    }
    Ok(out)
}

/// The ranges of both axes, with a margin.
fn bounds(frame: &Frame, series: &[Series]) -> ((f64, f64), (f64, f64)) {
    if frame.diagonal {
        return ((0.0, 1.0), (0.0, 1.0));
    }
    let points = || series.iter().flat_map(|s| &s.points).filter(|p| p.0.is_finite() && p.1.is_finite());
    let ends = series.iter().flat_map(|s| s.intervals.iter().flat_map(|i| [i.1, i.2]));
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low.is_finite() { (low, high) } else { (0.0, 1.0) }
    };
    let y = range(&mut points().map(|p| p.1).chain(ends));
    let margin = ((y.1 - y.0) * 0.08).max(if frame.percent { 0.01 } else { 1e-3 });
    let x = match frame.names.len() {
        0 => range(&mut points().map(|p| p.0)),
        n => (-0.5, n as f64 - 0.5),
    };
    // One point alone still has an axis.
    let x = if x.1 > x.0 { x } else { (x.0 - 0.5, x.1 + 0.5) };
    (x, (y.0 - margin, y.1 + margin))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn plain(n: f64) -> String {
    let text = format!("{n:.3}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}
