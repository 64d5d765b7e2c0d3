//! Many questions to a chat server: bounded concurrency, retries, a budget, and a memo that makes a resumed run start where it stopped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::budget::{Budget, Cost, Purse};
use super::line::{Line, held};
use super::memo::{recall, remember};
use super::request::{self, Class, Endpoint, Failure, Part, Question, Reply};
use super::tally::{Outcome, Tally};
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;

/// How to ask. None of it changes an answer.
pub struct Manner<'a> {
    /// Requests under way at once, at most.
    pub at_most: usize,
    /// Further tries of a request that failed for a passing reason.
    pub retries: u32,
    /// How long an answer may take.
    pub patience: Duration,
    /// What may be spent.
    pub budget: Budget,
    /// What is added to a question whose answer does not fit, when it is asked once more; such a question has failed without.
    pub again: Option<&'static str>,
    /// Folder of answers by the identity of their question.
    pub memo: PathBuf,
    /// Where pictures lie.
    pub blobs: &'a dyn Blobs,
    /// Set when the run is being stopped.
    pub cancelled: &'a AtomicBool,
    /// Says whether the server still runs, for one that was started here.
    pub alive: &'a (dyn Fn() -> bool + Sync),
    /// Told how many questions are answered.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Answers and what they cost.
pub struct Asked<T> {
    /// One for each question, in order.
    pub outcomes: Vec<Outcome<T>>,
    /// Different questions among them.
    pub asked: u64,
    /// Questions answered from the memo.
    pub remembered: u64,
    /// What this run spent.
    pub spent: Cost,
    /// Requests that brought no answer, by class; most were sent again.
    pub failures: BTreeMap<Class, u64>,
}

const RETRY_FOR: Duration = Duration::from_secs(900);

/// Asks all questions, equal ones once: two equal rows never get two verdicts. `read` checks an answer to a question; one that it rejects is asked for once more where
/// [`Manner::again`] says how, then counts as failed.
///
/// # Errors
/// Class `budget` when the next question does not fit into the budget (answers so far are kept); `bug` when the server refuses the key, knows no such model,
/// finds every request malformed or gives no log-probabilities that were asked for; `server` when it fails many questions in a row, all their tries (`tally`);
/// `flaky` when too many questions fail, or all of them, or the server is gone.
pub fn ask_all<T: Send + Clone>(
    endpoint: &Endpoint,
    questions: &[Question],
    manner: &Manner<'_>,
    read: impl Fn(&Question, &Reply) -> Result<T, String> + Sync,
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
        client: request::client(manner.patience),
        line: Line::new(manner.at_most),
        failures: Mutex::new(BTreeMap::new()),
        purse: Purse::new(manner.budget),
        remembered: AtomicU64::new(0),
        strict: AtomicBool::new(true),
        halted: AtomicBool::new(false),
        halt: Mutex::new(None),
    };
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Outcome<T>>>> = Mutex::new(distinct.iter().map(|_| None).collect());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..manner.at_most.clamp(1, distinct.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = distinct.get(at).filter(|_| !desk.stopped()) else { break };
                    let known = desk.recall(question, &read);
                    let asked = known.is_none();
                    let Some(outcome) = known.or_else(|| desk.answer(question, &read)) else { break };
                    let mut tally = held(&tally);
                    if !asked {
                        tally.remembered();
                    } else if let Some(why) = tally.count(&outcome, &endpoint.url) {
                        desk.stop(why);
                    }
                    (manner.progress)(tally.done as u64, distinct.len() as u64);
                    held(&done)[at] = Some(outcome);
                }
            });
        }
    });
    if let Some(halt) = held(&desk.halt).take() {
        return Err(halt);
    }
    let outcomes: Option<Vec<_>> = done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    let outcomes = outcomes.ok_or_else(|| OpError::stopped())?;
    if let (true, Some(Outcome::Failed { why, .. })) =
        (outcomes.iter().all(|o| matches!(o, Outcome::Failed { .. })), outcomes.last())
    {
        let all = format!("none of {} questions was answered, the last: {why}", outcomes.len());
        return Err(OpError::new("E0612", all).class("flaky"));
    }
    let asked = outcomes.len() as u64;
    let outcomes = place.into_iter().map(|at| outcomes[at].clone()).collect();
    let (spent, remembered) = (desk.purse.spent(), desk.remembered.into_inner());
    let failures = std::mem::take(&mut *held(&desk.failures));
    Ok(Asked { outcomes, asked, remembered, spent, failures })
}

struct Desk<'a> {
    endpoint: &'a Endpoint,
    manner: &'a Manner<'a>,
    client: ureq::Agent,
    line: Line,
    purse: Purse,
    remembered: AtomicU64,
    failures: Mutex<BTreeMap<Class, u64>>,
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

    /// Returns the answer that is remembered, if one that fits is.
    fn recall<T>(
        &self,
        question: &Question,
        read: &impl Fn(&Question, &Reply) -> Result<T, String>,
    ) -> Option<Outcome<T>> {
        let reply = recall(&self.manner.memo, question.key(self.endpoint))?;
        let said = read(question, &reply).ok()?;
        self.remembered.fetch_add(1, Ordering::Relaxed);
        Some(Outcome::Said(said))
    }

    /// Asks, and remembers what is answered; `None` when the run stops.
    fn answer<T>(
        &self,
        question: &Question,
        read: &impl Fn(&Question, &Reply) -> Result<T, String>,
    ) -> Option<Outcome<T>> {
        let key = question.key(self.endpoint);
        let mut why = String::new();
        for more in std::iter::once("").chain(self.manner.again) {
            let mut asked = question.clone();
            if let Some(Part::Text(text)) = asked.parts.last_mut() {
                text.push_str(more);
            }
            // Silence and refusal are answers too, though seldom ones that fit.
            let (reply, class) = match self.persist(&asked)? {
                Ok(reply) => (reply, None),
                Err(failure) if failure.class == Class::Empty => (Reply::default(), Some(failure)),
                Err(failure) if failure.class == Class::Refusal => {
                    (Reply { text: failure.message.clone(), refused: true, ..Reply::default() }, Some(failure))
                }
                Err(failure) if failure.class == Class::Denied => {
                    self.stop(
                        OpError::new("E0612", format!("{} refused: {}", self.endpoint.url, failure.message))
                            .help("check `url:`, the model's name and the secret given as `key:`"),
                    );
                    return None;
                }
                Err(failure) => return Some(failed(failure)),
            };
            if question.likely.is_some() && reply.likely.is_none() && class.is_none() {
                self.stop(
                    OpError::new("E0612", format!("{} gives no log-probabilities with its answers", self.endpoint.url))
                        .help("leave out `confidence`, or ask a server that knows `logprobs` and `top_logprobs`, as vLLM, SGLang and llama.cpp do"),
                );
                return None;
            }
            match read(question, &reply) {
                Ok(said) => {
                    if let Err(e) = remember(&self.manner.memo, key, question, self.endpoint, &reply) {
                        self.stop(e.into());
                        return None;
                    }
                    return Some(Outcome::Said(said));
                }
                Err(_) if class.is_some() => return class.map(failed),
                Err(e) if reply.truncated => {
                    why = format!("the answer was cut off at {} tokens: {e}", asked.max_tokens)
                }
                Err(e) => why = format!("the answer does not fit its schema: {e}"),
            }
        }
        Some(Outcome::Failed { class: None, why })
    }

    /// Sends a question until it is answered or its retries are used up.
    fn persist(&self, question: &Question) -> Option<Result<Reply, Failure>> {
        let started = Instant::now();
        let mut tries: BTreeMap<Class, u32> = BTreeMap::new();
        loop {
            let strict = self.strict.load(Ordering::Relaxed);
            let reserved = match self.purse.reserve(question.cost(), question.max_tokens) {
                Ok(reserved) => reserved,
                Err(over) => {
                    self.stop(over);
                    return None;
                }
            };
            self.line.enter();
            let result = if self.stopped() {
                Err(None)
            } else {
                let sent = request::send(&self.client, self.endpoint, question, self.manner.blobs, strict);
                sent.map_err(Some)
            };
            self.line.leave(result.as_ref().err().and_then(|f| f.as_ref().map(|f| f.class)));
            let failure = match result {
                Ok(reply) => {
                    self.purse.pay(reserved, &reply);
                    return Some(Ok(reply));
                }
                Err(None) => return None,
                Err(Some(failure)) => failure,
            };
            self.purse.lose(reserved, failure.tokens);
            *held(&self.failures).entry(failure.class).or_default() += 1;
            if failure.class == Class::NoSchema && strict {
                self.strict.store(false, Ordering::Relaxed);
                continue;
            }
            if failure.class == Class::Network && !(self.manner.alive)() {
                self.stop(OpError::new("E0612", "the server has ended").class("flaky"));
                return None;
            }
            let all: u32 = tries.values().sum();
            let own = tries.entry(failure.class).or_default();
            if *own >= failure.class.retries(self.manner.retries)
                || all >= self.manner.retries
                || started.elapsed() > RETRY_FOR
            {
                return Some(Err(failure));
            }
            *own += 1;
            let wait = failure.after.unwrap_or_else(|| backoff(all, question.key(self.endpoint)));
            self.pause(wait)?;
        }
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

fn failed<T>(failure: Failure) -> Outcome<T> {
    Outcome::Failed { class: Some(failure.class), why: format!("{:?}: {}", failure.class, failure.message) }
}
