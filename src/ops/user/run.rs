//! `op.run`: a user's command over rows, several processes at once where rows do not know each other.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::Int64Array;

use super::answers::{self, Answered, GivenUp, Made};
use super::args::{Args, Format, Part};
use super::place;
use super::remembered::Remembered;
use super::rows_out::{self, Input};
use crate::base::{OpError, phrase};
use crate::data::formats::load::Bad;
use crate::data::gather::{IN_MEMORY, gather};
use crate::data::table::Table;
use crate::engine::node::child::{self, End};
use crate::engine::node::context::{Fate, QUARANTINED};
use crate::engine::node::process::Limits;
use crate::engine::storage::dataset::{Chunks, Writer};
use crate::engine::{Artifact, Builtin, Context, Output, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Class, OpSpec, user_op};

/// The operator.
pub static RUN: Builtin = Builtin {
    spec: OpSpec {
        signature: "",
        class: Class::External,
        version: user_op::VERSION,
        with: user_op::WITH,
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// Between two words about progress.
const BETWEEN: Duration = Duration::from_secs(1);
/// How many lines of stderr stand in an error.
const LAST_LINES: usize = 5;

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let mine = mine(&args, cx.input("d")?.rows().unwrap_or(0) as usize);
    let ids = cx.columns("d", &["id"])?;
    let remembered = Remembered::open(cx, &args, mine.clone())?;
    let shards = shards(cx, &args, &remembered.asked);
    let inputs = inputs(cx, &args, &shards)?;
    let abort = AtomicBool::new(false);
    let ended: Vec<Result<Made, OpError>> = std::thread::scope(|scope| {
        let shared: &Context = cx;
        let work = |(at, media): (usize, rows_out::Media)| {
            let (args, ids, shards, abort) = (&args, &ids, &shards, &abort);
            scope.spawn(move || {
                let made = process(shared, args, ids, at, shards, &media, abort);
                if made.is_err() {
                    abort.store(true, Ordering::Relaxed);
                }
                made
            })
        };
        let running: Vec<_> = inputs.into_iter().enumerate().map(work).collect();
        tell_progress(shared, shards.len(), remembered.asked.len() as u64, &|| running.iter().all(|t| t.is_finished()));
        let died = || Err(OpError::new("E0612", "a thread of this operator died"));
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    keep_log(cx, &args, shards.len())?;
    // What was stopped because another process failed says nothing of its own.
    if let Some(e) = ended.iter().filter_map(|r| r.as_ref().err()).min_by_key(|e| e.class == "preempted") {
        for (made, rows) in ended.iter().zip(&shards).filter_map(|(made, rows)| Some((made.as_ref().ok()?, rows))) {
            let (answers, numbers) = stored(cx, &args, std::slice::from_ref(made), None)?;
            remembered.keep(rows.iter().copied(), &made.given_up, &numbers, &answers)?;
        }
        return Err(OpError { code: e.code, class: e.class, message: e.message.clone(), help: e.help.clone() });
    }
    let made: Vec<Made> = ended.into_iter().collect::<Result<_, _>>()?;
    let given_up: GivenUp = made.iter().flat_map(|m| m.given_up.clone()).collect();
    let (answers, numbers) = stored(cx, &args, &made, Some(&remembered))?;
    remembered.keep(mine.clone(), &given_up, &numbers, &answers)?;
    judge(cx, &args, &ids, &given_up)?;
    cx.counts.insert("read".into(), mine.len() as u64);
    if remembered.count() > 0 {
        cx.counts.insert("remembered".into(), remembered.count());
    }
    cx.counts.insert("kept".into(), answers.rows().unwrap_or(0));
    Ok(vec![(String::new(), Output::Artifact(answers))])
}

/// Stores answers in the order of their rows, those that were known among them; returns the row of each too. Where other columns are joined afterwards,
/// that row stands in a column.
fn stored(
    cx: &Context,
    args: &Args,
    made: &[Made],
    remembered: Option<&Remembered<'_>>,
) -> Result<(Artifact, Vec<u32>), OpError> {
    let known = remembered.map_or(&[][..], Remembered::answers);
    // The row of each answer, and its place among all that are read.
    let mut places: Vec<(u32, u32)> = remembered.into_iter().flat_map(Remembered::places).collect();
    let before: u64 = known.iter().filter_map(Artifact::rows).sum();
    places.extend(made.iter().flat_map(|made| &made.rows).zip(before as u32..).map(|(row, at)| (*row, at)));
    // Answers to one row keep their order.
    places.sort_by_key(|(row, _)| *row);
    let (numbers, order): (Vec<u32>, Vec<u32>) = places.into_iter().unzip();
    let mut writer = Writer::new(cx.store);
    let read = || {
        let known = known.iter().map(|answers| Chunks::open(cx.store, answers)).collect::<Result<Vec<_>, _>>()?;
        Ok(known.into_iter().flatten().chain(made.iter().flat_map(|made| made.answers.tables())))
    };
    gather(read, &order, &cx.scratch, IN_MEMORY, |table| {
        if !args.joined {
            return writer.push(table);
        }
        let rows = numbers[table.before..][..table.rows()].iter().map(|row| i64::from(*row));
        writer.push(table.with_column(user_op::ROW, Arc::new(Int64Array::from_iter_values(rows)))?)
    })?;
    Ok((writer.finish()?, numbers))
}

/// Counts answers while processes run; JSON lines alone can be counted from outside.
fn tell_progress(cx: &Context, processes: usize, rows: u64, finished: &dyn Fn() -> bool) {
    let mut counted = vec![(0_u64, 0_u64); processes];
    let (mut wait, mut said) = (Duration::from_millis(2), Instant::now());
    while !finished() {
        std::thread::sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(100));
        if said.elapsed() < BETWEEN {
            continue;
        }
        said = Instant::now();
        for (at, (offset, lines)) in counted.iter_mut().enumerate() {
            let mut fresh = Vec::new();
            let read = File::open(cx.scratch.join(format!("out-{at}"))).and_then(|mut file| {
                file.seek(SeekFrom::Start(*offset))?;
                file.take(1 << 24).read_to_end(&mut fresh)
            });
            *offset += read.unwrap_or(0) as u64;
            *lines += fresh.iter().filter(|&&b| b == b'\n').count() as u64;
        }
        cx.progress(counted.iter().map(|(_, lines)| lines).sum(), rows, "answers");
    }
}

/// Returns the rows that this node answers: all, or the part that is left to it.
fn mine(args: &Args, rows: usize) -> Range<usize> {
    match args.part {
        Some(Part { at, of }) => rows * at / of..rows * (at + 1) / of,
        None => 0..rows,
    }
}

/// Cuts the rows that are asked into runs of nearly equal length, one for each process. The cut never shows in the result: rows keep their numbers, and
/// answers their order.
fn shards(cx: &Context, args: &Args, asked: &[usize]) -> Vec<Vec<usize>> {
    let most = cx.with["at_most"].as_u64().map_or(cx.threads, |n| n as usize);
    let one = args.whole() || args.part.is_some();
    let count = if one { 1 } else { cx.threads.min(most).clamp(1, asked.len().max(1)) };
    (0..count).map(|i| asked[asked.len() * i / count..asked.len() * (i + 1) / count].to_vec()).collect()
}

/// Writes the rows of each process to its input; returns the pictures that they name.
fn inputs(cx: &Context, args: &Args, shards: &[Vec<usize>]) -> Result<Vec<rows_out::Media>, OpError> {
    let types = args.reads.types()?;
    let files = (0..shards.len()).map(|at| Input::new(args.format, &cx.scratch.join(format!("in-{at}"))));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    for chunk in cx.chunks("d")? {
        cx.go_on()?;
        let chunk = chunk?;
        for (file, rows) in files.iter_mut().zip(shards) {
            let end = chunk.before + chunk.rows();
            let rows = &rows[rows.partition_point(|row| *row < chunk.before)..rows.partition_point(|row| *row < end)];
            // An Arrow stream tells its columns even if there are no rows.
            if !rows.is_empty() || chunk.before == 0 {
                let rows: Vec<usize> = rows.iter().map(|row| row - chunk.before).collect();
                pooled(cx.threads, || file.push(&chunk, &types, &rows, !args.whole()))??;
            }
        }
    }
    files.into_iter().map(Input::finish).collect()
}

fn process(
    cx: &Context,
    args: &Args,
    ids: &Table,
    at: usize,
    shards: &[Vec<usize>],
    media: &rows_out::Media,
    abort: &AtomicBool,
) -> Result<Made, OpError> {
    let rows = shards[at].as_slice();
    let file = |name: &str| cx.scratch.join(format!("{name}-{at}"));
    let (input, output, errors) = (file("in"), file("out"), file("err"));
    let place = place::folder(cx, args, &format!("op-{at}"), &media.pictures)?;
    fs::write(&errors, "")?;
    let made = |format: Format, given_up: GivenUp| {
        let (place, output, origins) = (&place, &output, &media.origins);
        let answered = Answered { ids, rows, origins, place, output, format, given_up: &given_up };
        let (answers, rows) = answers::read(args, &answered, cx)?;
        Ok(Made { answers, rows, given_up })
    };
    if rows.is_empty() && !args.whole() {
        fs::write(&output, "")?;
        return made(Format::Jsonl, GivenUp::new());
    }
    let mut command = place::command(cx, args, &place, shards.len());
    command.stdin(File::open(&input)?).stdout(File::create(&output)?).stderr(File::create(&errors)?);
    let stop = [cx.cancelled, abort];
    let ended = child::run(&mut command, &[&output, &errors], Limits::of(&cx.with), &stop);
    let said = String::from_utf8_lossy(&fs::read(&errors)?).into_owned();
    if let Ok((_, most)) = &ended {
        cx.memory(*most);
    }
    match ended.map(|(end, _)| end) {
        Ok(End::Exited(status)) if status.success() => {}
        Ok(End::Exited(status)) => return Err(crashed(args, status, &said)),
        Ok(End::Stopped) => return Err(OpError::stopped()),
        Ok(End::Over { limit, seconds, evidence }) => {
            let heading = format!("\n--- rbpipe: `{limit}` was over after {seconds} s; what was running then\n");
            fs::OpenOptions::new().append(true).open(&errors)?.write_all(format!("{heading}{evidence}").as_bytes())?;
            let message = format!(
                "`{}` was stopped after {seconds} s: `{limit}` is over{}",
                args.command.join(" "),
                phrase::said_last(&said, LAST_LINES)
            );
            let log =
                args.log.as_ref().map_or(String::new(), |log| format!("; {} tells what it was doing", log.display()));
            return Err(OpError::new("E0612", message)
                .class("flaky")
                .help(format!("raise `{limit}` in `with`, which never changes a key{log}")));
        }
        Err(e) => return Err(not_started(args, &e)),
    }
    made(args.format, answers::given_up(args, &said, rows)?)
}

fn crashed(args: &Args, status: ExitStatus, said: &str) -> OpError {
    let command = args.command.join(" ");
    let log = args.log.as_ref().map(|l| format!("all that it said lies in {}", l.display())).unwrap_or_default();
    let (how, class) = match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) => ("was killed, most likely for memory".to_owned(), "oom"),
        (Some(signal), _) => (format!("ended by signal {signal}"), "flaky"),
        (None, code) => (format!("ended with exit code {}", code.unwrap_or(-1)), "flaky"),
    };
    OpError::new("E0612", format!("`{command}` {how}{}", phrase::said_last(said, LAST_LINES))).class(class).help(log)
}

fn not_started(args: &Args, e: &std::io::Error) -> OpError {
    let program = &args.command[0];
    let missing = e.kind() == std::io::ErrorKind::NotFound;
    let help = match (missing, program.contains('/')) {
        (true, true) => {
            "name it in `files [...]`; a script also needs the program of its first line, as in `#!/usr/bin/env python3`"
        }
        (true, false) => "install it, or write `./` before a script of your own; programs are looked for in PATH",
        (false, _) => "a script starts with a line such as `#!/usr/bin/env python3`, or is run as `python3 mine.py`",
    };
    let why = if missing { "there is no such program".to_owned() } else { e.to_string() };
    OpError::new("E0612", format!("cannot start `{program}`: {why}")).help(help)
}

/// What all processes said, one after the other.
fn keep_log(cx: &Context, args: &Args, processes: usize) -> Result<(), OpError> {
    let Some(log) = &args.log else { return Ok(()) };
    let mut text = Vec::new();
    for at in 0..processes {
        text.extend(fs::read(cx.scratch.join(format!("err-{at}"))).unwrap_or_default());
    }
    fs::write(log, text)?;
    Ok(())
}

/// Decides about the rows that were given up, as a loader does about bad ones.
fn judge(cx: &mut Context, args: &Args, ids: &Table, given_up: &GivenUp) -> Result<(), OpError> {
    let Some((first, why)) = given_up.first_key_value() else { return Ok(()) };
    let what = match args.bad {
        Bad::Fail => {
            let more =
                if given_up.len() > 1 { format!(" (and {} more rows)", given_up.len() - 1) } else { String::new() };
            let message = format!("`{}` gave up {}: {why}{more}", args.command.join(" "), ids.place(*first));
            return Err(OpError::new("E0610", message)
                .help("mend the row, or call it with `bad: \"quarantine\"` to leave such rows out and list them"));
        }
        Bad::Skip => "dropped",
        Bad::Quarantine => QUARANTINED,
    };
    cx.counts.insert(if args.bad == Bad::Skip { "skipped" } else { "quarantined" }.into(), given_up.len() as u64);
    let fate = |(row, why): (&usize, &String)| Fate { row: ids.name(*row), what: what.into(), why: why.clone() };
    cx.fates.extend(given_up.iter().map(fate));
    Ok(())
}
