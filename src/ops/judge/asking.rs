//! Many questions to a chat server: bounded concurrency, retries, a token budget, and a memo that makes a resumed run start where it stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::chat::{self, Class, Endpoint, Failure, Question, Reply};
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;

/// How to ask. None of it changes an answer.
pub struct Manner<'a> {
    /// Requests under way at once, at most.
    pub at_most: usize,
    /// Further tries of a request that failed for a passing reason.
    pub retries: u32,
    /// Tokens that may be spent; no bound without.
    pub spend: Option<u64>,
    /// Folder of answers by the identity of their question.
    pub memo: PathBuf,
    /// Where pictures lie.
    pub blobs: &'a dyn Blobs,
    /// Set when the run is being stopped.
    pub cancelled: &'a AtomicBool,
    /// Told how many questions are answered.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// The answer.
    Said(T),
    /// There is none: why. Never counts as a verdict.
    Failed(String),
}

/// Answers and what they cost.
pub struct Asked<T> {
    /// One for each question, in order.
    pub outcomes: Vec<Outcome<T>>,
    /// Different questions among them.
    pub asked: u64,
    /// Questions answered from the memo.
    pub remembered: u64,
    /// Tokens spent by this run.
    pub tokens: u64,
}

/// A share of failures above which the run stops, once this many questions have been asked.
const FAILED_SHARE: f64 = 0.05;
const FAILED_AFTER: usize = 200;
/// Requests refused as malformed in a row from the start, after which the run stops: the configuration is wrong.
const MALFORMED: usize = 5;
const PATIENCE: Duration = Duration::from_secs(300);
const RETRY_FOR: Duration = Duration::from_secs(900);

/// Asks all questions, equal ones once: two equal rows never get two verdicts. `read` checks an answer; one that it refuses is asked for once more in
/// fewer words, then counts as failed.
///
/// # Errors
/// Class `budget` when the next question does not fit into `spend` (answers so far are kept); `bug` when the server refuses the key, knows no such model
/// or finds every request malformed; `flaky` when too many questions fail, or all of them.
pub fn ask_all<T: Send + Clone>(
    endpoint: &Endpoint,
    questions: &[Question],
    manner: &Manner<'_>,
    read: impl Fn(&Json) -> Result<T, String> + Sync,
) -> Result<Asked<T>, OpError> {
    let mut distinct: Vec<&Question> = Vec::new();
    let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
    let place: Vec<usize> = questions
        .iter()
        .map(|question| {
            *known.entry(question.key(endpoint)).or_insert_with(|| {
                distinct.push(question);
                distinct.len() - 1
            })
        })
        .collect();
    let desk = Desk {
        endpoint,
        manner,
        client: chat::client(PATIENCE),
        line: Line {
            state: Mutex::new((0, manner.at_most.max(1), 0)),
            free: Condvar::new(),
            most: manner.at_most.max(1),
        },
        reserved: AtomicU64::new(0),
        tokens: AtomicU64::new(0),
        remembered: AtomicU64::new(0),
        strict: AtomicBool::new(true),
        halted: AtomicBool::new(false),
        halt: Mutex::new(None),
    };
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Outcome<T>>>> = Mutex::new(distinct.iter().map(|_| None).collect());
    let tally = Mutex::new((0_usize, 0_usize, 0_usize));
    std::thread::scope(|scope| {
        for _ in 0..manner.at_most.clamp(1, distinct.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = distinct.get(at).filter(|_| !desk.stopped()) else { break };
                    let Some((outcome, malformed)) = desk.answer(question, &read) else { break };
                    let failed = matches!(outcome, Outcome::Failed(_));
                    let mut tally = held(&tally);
                    tally.0 += 1;
                    tally.1 += usize::from(failed);
                    tally.2 += usize::from(malformed);
                    if let Outcome::Failed(why) = &outcome {
                        if tally.2 == tally.0 && tally.2 >= MALFORMED {
                            desk.stop(OpError::new(
                                "E0612",
                                format!("every request is malformed to the server: {why}"),
                            ));
                        } else if tally.0 >= FAILED_AFTER && tally.1 as f64 > FAILED_SHARE * tally.0 as f64 {
                            let share = format!("{} of {} questions failed, the last: {why}", tally.1, tally.0);
                            desk.stop(OpError::new("E0612", share).class("flaky"));
                        }
                    }
                    (manner.progress)(tally.0 as u64, distinct.len() as u64);
                    held(&done)[at] = Some(outcome);
                }
            });
        }
    });
    if let Some(halt) = held(&desk.halt).take() {
        return Err(halt);
    }
    let outcomes: Option<Vec<_>> = done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    let outcomes = outcomes.ok_or_else(|| OpError::new("E0612", "stopped").class("preempted"))?;
    if let (true, Some(Outcome::Failed(why))) =
        (outcomes.iter().all(|o| matches!(o, Outcome::Failed(_))), outcomes.last())
    {
        let all = format!("none of {} questions was answered, the last: {why}", outcomes.len());
        return Err(OpError::new("E0612", all).class("flaky"));
    }
    let asked = outcomes.len() as u64;
    let outcomes = place.into_iter().map(|at| outcomes[at].clone()).collect();
    let (tokens, remembered) = (desk.tokens.into_inner(), desk.remembered.into_inner());
    Ok(Asked { outcomes, asked, remembered, tokens })
}

struct Desk<'a> {
    endpoint: &'a Endpoint,
    manner: &'a Manner<'a>,
    client: ureq::Agent,
    line: Line,
    /// Tokens that requests under way may still cost.
    reserved: AtomicU64,
    tokens: AtomicU64,
    remembered: AtomicU64,
    /// Whether the server takes a schema.
    strict: AtomicBool,
    halted: AtomicBool,
    halt: Mutex<Option<OpError>>,
}

impl Desk<'_> {
    fn stopped(&self) -> bool {
        self.manner.cancelled.load(Ordering::Relaxed) || self.halted.load(Ordering::Relaxed)
    }

    fn stop(&self, why: OpError) {
        held(&self.halt).get_or_insert(why);
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Returns the outcome and whether the request was malformed; `None` when the run stops.
    fn answer<T>(&self, question: &Question, read: &impl Fn(&Json) -> Result<T, String>) -> Option<(Outcome<T>, bool)> {
        let key = question.key(self.endpoint);
        if let Some(said) = recall(&self.manner.memo, key).and_then(|text| read(&object(&text)?).ok()) {
            self.remembered.fetch_add(1, Ordering::Relaxed);
            return Some((Outcome::Said(said), false));
        }
        let mut asked = question.clone();
        let mut why = String::new();
        for second in [false, true] {
            if second {
                asked.text = format!("{}\n\nOnly the JSON object, reason in one short sentence.", question.text);
            }
            match self.persist(&asked)? {
                Ok(reply) => {
                    match object(&reply.text).ok_or("no JSON object".to_owned()).and_then(|json| read(&json)) {
                        Ok(said) => {
                            if let Err(e) = remember(&self.manner.memo, key, question, self.endpoint, &reply) {
                                self.stop(e.into());
                                return None;
                            }
                            return Some((Outcome::Said(said), false));
                        }
                        Err(e) if reply.truncated => {
                            why = format!("the answer was cut off at {} tokens: {e}", asked.max_tokens)
                        }
                        Err(e) => why = format!("the answer does not fit its schema: {e}"),
                    }
                }
                Err(failure) if failure.class == Class::Refused => {
                    self.stop(
                        OpError::new("E0612", format!("{} refused: {}", self.endpoint.url, failure.message))
                            .help("check `url:`, `by:` and the secret given as `key:`"),
                    );
                    return None;
                }
                Err(failure) => {
                    let text = format!("{:?}: {}", failure.class, failure.message);
                    return Some((Outcome::Failed(text), failure.class == Class::BadRequest));
                }
            }
        }
        Some((Outcome::Failed(why), false))
    }

    /// Sends a question until it is answered or its retries are used up.
    fn persist(&self, question: &Question) -> Option<Result<Reply, Failure>> {
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let strict = self.strict.load(Ordering::Relaxed);
            let cost = self.reserve(question)?;
            self.line.enter();
            let result = chat::send(&self.client, self.endpoint, question, self.manner.blobs, strict);
            self.line.leave(result.as_ref().err().map(|f| f.class));
            self.reserved.fetch_sub(cost, Ordering::Relaxed);
            let failure = match result {
                Ok(reply) => {
                    // A server that counts no tokens is charged what was reserved.
                    let spent = if reply.tokens > 0 { reply.tokens } else { cost };
                    self.tokens.fetch_add(spent, Ordering::Relaxed);
                    return Some(Ok(reply));
                }
                Err(failure) => failure,
            };
            if failure.class == Class::NoSchema && strict {
                self.strict.store(false, Ordering::Relaxed);
                continue;
            }
            if tries >= failure.class.retries(self.manner.retries) || started.elapsed() > RETRY_FOR {
                return Some(Err(failure));
            }
            let wait = failure.after.unwrap_or_else(|| backoff(tries, question.key(self.endpoint)));
            tries += 1;
            self.pause(wait)?;
        }
    }

    /// Sets tokens aside for a request, or stops the run: nothing is ever sent that the budget does not cover.
    fn reserve(&self, question: &Question) -> Option<u64> {
        let cost = question.cost();
        let reserved = self.reserved.fetch_add(cost, Ordering::Relaxed) + cost;
        let tokens = self.tokens.load(Ordering::Relaxed);
        let Some(spend) = self.manner.spend.filter(|spend| tokens + reserved > *spend) else { return Some(cost) };
        self.stop(
            OpError::new(
                "E0612",
                format!("the next question may cost {cost} tokens; {tokens} of {spend} are spent, {reserved} reserved"),
            )
            .class("budget")
            .help("raise `with { spend: … }` and run again: answers so far are kept"),
        );
        None
    }

    fn pause(&self, wait: Duration) -> Option<()> {
        let until = Instant::now() + wait;
        while !self.stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        None
    }
}

/// Full jitter: half a second, doubled with each try, at most a minute, times a share that is spread over the questions.
fn backoff(tries: u32, key: Digest) -> Duration {
    let most = (0.5 * 2_f64.powi(tries.min(10) as i32)).min(60.0);
    Duration::from_secs_f64(most * (1.0 + f64::from(key.0[tries as usize % 32])) / 256.0)
}

/// How many requests may be under way: fewer after the server was busy, one more after as many good answers as there are places.
struct Line {
    /// Under way, places, good answers since the last change.
    state: Mutex<(usize, usize, usize)>,
    free: Condvar,
    most: usize,
}

impl Line {
    fn enter(&self) {
        let state = held(&self.state);
        let full = |s: &mut (usize, usize, usize)| s.0 >= s.1;
        let mut state = self.free.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
    }

    fn leave(&self, failed: Option<Class>) {
        let mut state = held(&self.state);
        state.0 -= 1;
        match failed {
            Some(Class::Busy) => (state.1, state.2) = ((state.1 * 4 / 5).max(1), 0),
            Some(_) => {}
            None => {
                state.2 += 1;
                if state.2 >= state.1 && state.1 < self.most {
                    (state.1, state.2) = (state.1 + 1, 0);
                }
            }
        }
        self.free.notify_all();
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the JSON object in an answer; models like to put it into a code fence.
fn object(text: &str) -> Option<Json> {
    let text = text.get(text.find('{')?..=text.rfind('}')?)?;
    serde_json::from_str(text).ok().filter(Json::is_object)
}

fn place(memo: &Path, key: Digest) -> PathBuf {
    let hex = key.hex();
    memo.join(&hex[..2]).join(format!("{}.json", &hex[2..]))
}

/// Returns a remembered answer; one that was not written whole counts as none.
fn recall(memo: &Path, key: Digest) -> Option<String> {
    let text = std::fs::read(place(memo, key)).ok()?;
    let record: Json = serde_json::from_slice(&text).ok()?;
    record["reply"].as_str().map(str::to_owned)
}

/// Writes an answer under its question's identity, whole or not at all.
fn remember(memo: &Path, key: Digest, question: &Question, endpoint: &Endpoint, reply: &Reply) -> std::io::Result<()> {
    let target = place(memo, key);
    let folder = target.parent().unwrap_or(memo);
    std::fs::create_dir_all(folder)?;
    let pictures: Vec<&str> = question.pictures.iter().map(|p| p.digest.as_str()).collect();
    let record = json!({
        "model": endpoint.model, "question": question.text, "pictures": pictures, "reply": reply.text, "tokens": reply.tokens,
    });
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, record.to_string().as_bytes())?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(())
}
