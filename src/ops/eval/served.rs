//! `eval.run` at a server that speaks OpenAI's protocol: one that is there, or one that is started for the model.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::args::Args;
use super::asked::{save, wanted};
use super::backend::{Backend, Served};
use super::schema;
use crate::base::{Digest, OpError, phrase};
use crate::data::pictures::picture::Picture;
use crate::engine::inputs::servers;
use crate::engine::node::service::{self, Launch};
use crate::engine::{Artifact, Context, Outputs, executors};
use crate::eval::calibration::{among, scaled};
use crate::eval::prompt::prompt;
use crate::eval::score::score;
use crate::eval::scored::Answer;
use crate::eval::{Decoding, Part, Prompt, Reply};
use crate::ops::chat::{self, Asked, Budget, Endpoint, Manner, Outcome, Question, Sampling, ask_all};
use crate::plan::serving;

/// How long a server may take to load its model.
const LOADING: Duration = Duration::from_secs(1200);
/// How long a reply may take, unless `with { stall }` says less.
const PATIENCE: Duration = Duration::from_secs(600);
/// Tokens whose log-probabilities are asked for: more are refused by most servers.
const LIKELY: u32 = 20;
/// What is noted beside a reply that its schema does not allow.
const STRANGE: &str = "outside the schema of its question";
/// Media types that every server decodes.
const KNOWN: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];

/// Asks all questions of a benchmark and scores the replies.
pub fn run(cx: &mut Context, args: &Args) -> Result<Outputs, OpError> {
    let (model, bench, coords, decoding) = args.asked_for(cx)?;
    let wanted = wanted(&bench, args.rows.unwrap_or(usize::MAX), args.epochs, args.max_images)?;
    let mut pictures = Pictures { bounds: (args.pixels.from, args.pixels.to), fitted: BTreeMap::new() };
    let (mut prompts, mut questions, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    let temperature = model.meta["temperature"].as_f64().unwrap_or(1.0);
    let prefill = model.meta["prefill"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let listed = model.meta["answers"].as_str() == Some("listed");
    if listed && (args.confidence || prefill.is_some()) {
        let other =
            if args.confidence { "`confidence`, which looks at the first word of a reply" } else { "`prefill`" };
        return Err(
            OpError::new("E0302", format!("`answers: \"listed\"` goes with no {other}")).help("leave one of them out")
        );
    }
    for (item, epoch) in &wanted {
        let prompt = prompt(&bench.items[*item], &bench.declare, &coords)?;
        let seed = seed(&decoding, &bench.items[*item].id, *epoch);
        let (mut question, sizes) = question(cx, &prompt, &decoding, seed, &mut pictures)?;
        question.prefill = prefill.clone();
        let mut shown = prompt.show();
        if listed {
            question.schema = schema::schema(&bench.items[*item]);
            if let (Some(_), Some(chat::Part::Text(text))) = (&question.schema, question.parts.last_mut()) {
                let line = schema::asked_for(&bench.items[*item]);
                text.push_str(&line);
                shown.push_str(&line);
            }
        }
        prompts.push((shown, prompt.options));
        questions.push(question);
        sent.push(sizes);
    }
    let server = Server::of(cx, args, &model)?;
    let asked = match server.ask(cx, &questions) {
        Err(_) if server.ended() => {
            cx.say("the server has ended; it is started once more");
            Server::of(cx, args, &model)?.ask(cx, &questions)?
        }
        asked => asked?,
    };
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    let mut answers = Vec::with_capacity(wanted.len());
    let mut strange: u64 = 0;
    for (((((item, epoch), (prompt, options)), sent), outcome), question) in
        wanted.into_iter().zip(prompts).zip(sent).zip(asked.outcomes).zip(&questions)
    {
        let reply = match outcome {
            Outcome::Said(said) => {
                let mut reply = heard(said, &options, temperature);
                if let Some(rest) = prefill.as_ref().and_then(|begun| reply.text.strip_prefix(begun.as_str())) {
                    // Some servers send back what the reply was begun with.
                    reply.text = rest.to_owned();
                }
                if question.schema.as_ref().is_some_and(|s| !reply.refused && !schema::fits(s, &reply.text)) {
                    strange += 1;
                    reply.note = Some(STRANGE.to_owned());
                }
                Ok(reply)
            }
            Outcome::Failed { class, why } => {
                *errors.entry(class.map_or("unfit", |c| c.name())).or_default() += 1;
                Err(why)
            }
        };
        answers.push(Answer { item, epoch, prompt, reply, sent });
    }
    for (class, n) in asked.failures {
        cx.counts.insert(format!("tries that failed: {}", class.name()), n);
    }
    let more = [("asked", asked.asked), ("remembered", asked.remembered), ("tokens spent", asked.spent.tokens)];
    cx.counts.extend(more.map(|(name, n)| (name.to_owned(), n)));
    let scores = score(&bench, answers, coords, cx.store)?;
    if strange > 0 {
        cx.counts.insert("outside their schema".to_owned(), strange);
        cx.say(&format!(
            "{} outside what the schema allows: the server does not hold replies to it",
            phrase::count(strange as usize, "reply")
        ));
    }
    let mut facts = json!({
        "decoding": decoding,
        "served": served(args, &model),
        "errors": errors,
        "geometry": pictures.facts(),
    });
    if listed {
        facts["listed"] = json!({ "outside": strange });
    }
    if let Some(begun) = &prefill {
        facts["prefill"] = json!(begun);
    }
    save(cx, &bench, &scores, &facts)
}

fn heard(said: chat::Reply, options: &[String], temperature: f64) -> Reply {
    let option_p = said.likely.and_then(|tokens| among(options, &tokens)).unwrap_or_default();
    Reply {
        option_p: if temperature == 1.0 { option_p } else { scaled(&option_p, temperature) },
        text: said.text,
        truncated: said.truncated,
        refused: said.refused,
        tokens: said.completion_tokens as u32,
        prompt_tokens: said.prompt_tokens as u32,
        ..Reply::default()
    }
}

fn served(args: &Args, model: &Artifact) -> Json {
    let of = |name: &str| model.meta[name].clone();
    match args.backend.as_deref() {
        Some(serving::SERVER) => {
            json!({ "by": "server", "url": of("url"), "name": of("name"), "revision": of("revision"), "price": of("price") })
        }
        other => json!({ "by": other }),
    }
}

/// The seed of one request: repeats differ, and so do items where replies are drawn.
fn seed(decoding: &Decoding, id: &str, epoch: u32) -> u64 {
    if decoding.temperature == 0.0 {
        return decoding.seed + u64::from(epoch);
    }
    let digest = Digest::of_json(&json!([decoding.seed, id, epoch]));
    u64::from(u32::from_le_bytes([digest.0[0], digest.0[1], digest.0[2], digest.0[3] & 0x7f]))
}

fn question(
    cx: &Context,
    prompt: &Prompt,
    decoding: &Decoding,
    seed: u64,
    pictures: &mut Pictures,
) -> Result<(Question, Vec<(u32, u32)>), OpError> {
    let mut sizes = Vec::new();
    let mut parts = Vec::with_capacity(prompt.parts.len());
    for part in &prompt.parts {
        parts.push(match part {
            Part::Text(text) => chat::Part::Text(text.clone()),
            Part::Image(picture) => {
                let fitted = pictures.fit(cx, picture)?;
                sizes.push((fitted.width as u32, fitted.height as u32));
                chat::Part::Picture(fitted)
            }
            Part::Video(_) => {
                return Err(OpError::new("E0612", "a server is sent no videos").help("take frames: `data.frames`"));
            }
        });
    }
    let sampling =
        Sampling { temperature: decoding.temperature, top_p: decoding.top_p, seed, stop: decoding.stop.clone() };
    let max_tokens = u64::from(decoding.max_tokens);
    let likely = (decoding.option_p && prompt.options.len() > 1).then_some(LIKELY);
    Ok((
        Question { system: prompt.system.clone(), parts, prefill: None, schema: None, max_tokens, sampling, likely },
        sizes,
    ))
}

/// Pictures as they are sent: the stored file where it fits, else made to fit.
struct Pictures {
    bounds: (Option<u64>, Option<u64>),
    fitted: BTreeMap<Digest, Picture>,
}

impl Pictures {
    fn fit(&mut self, cx: &Context, picture: &crate::eval::Picture) -> Result<Picture, OpError> {
        if let Some(known) = self.fitted.get(&picture.digest) {
            return Ok(known.clone());
        }
        let stored = Picture {
            digest: picture.digest.hex(),
            media: picture.media.clone(),
            width: i64::from(picture.width),
            height: i64::from(picture.height),
            origin: picture.digest.hex(),
        };
        let (width, height) = self.size(picture.width, picture.height);
        let same = (width, height) == (picture.width, picture.height);
        let fitted = if same && KNOWN.contains(&picture.media.as_str()) {
            stored
        } else {
            let pixels = stored.pixels(cx.store)?;
            let filter = image::imageops::FilterType::CatmullRom;
            let made = if same { pixels } else { image::imageops::resize(&pixels, width, height, filter) };
            stored.derived(cx.store, &made)?
        };
        self.fitted.insert(picture.digest, fitted.clone());
        Ok(fitted)
    }

    /// The size within the bounds that keeps the shape.
    fn size(&self, width: u32, height: u32) -> (u32, u32) {
        let area = f64::from(width) * f64::from(height);
        let scaled = |to: u64, whole: fn(f64) -> f64| {
            let factor = (to as f64 / area).sqrt();
            let side = |s: u32| whole(f64::from(s) * factor).max(1.0) as u32;
            (side(width), side(height))
        };
        match self.bounds {
            (_, Some(most)) if area > most as f64 => scaled(most, f64::floor),
            (Some(least), _) if area < least as f64 => scaled(least, f64::ceil),
            _ => (width, height),
        }
    }

    fn facts(&self) -> Json {
        let made = self.fitted.values().filter(|p| p.digest != p.origin).count();
        json!({ "least": self.bounds.0, "most": self.bounds.1, "as_stored": self.fitted.len() - made, "made_to_fit": made })
    }
}

/// Who is asked.
struct Server {
    endpoint: Endpoint,
    /// The name of the service, if it was started here.
    service: Option<String>,
    /// What is pinned of one that was there.
    says: Json,
    /// It is asked one question at a time, by one cell at a time.
    one_at_a_time: bool,
}

/// Whose turn it is at servers that are asked one question at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for the turn of a cell.
///
/// # Errors
/// Class `preempted` when the run is being stopped meanwhile.
fn turn(cx: &Context) -> Result<MutexGuard<'static, ()>, OpError> {
    loop {
        match TURN.try_lock() {
            Ok(guard) => return Ok(guard),
            // It guards nothing that a panic could have left half done.
            Err(TryLockError::Poisoned(left)) => return Ok(left.into_inner()),
            Err(TryLockError::WouldBlock) => {
                cx.go_on()?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Server {
    fn of(cx: &Context, args: &Args, model: &Artifact) -> Result<Self, OpError> {
        let text = |name: &str| model.meta[name].as_str().unwrap_or_default().to_owned();
        let backend = args.backend.as_deref().unwrap_or(serving::SERVER);
        if backend == serving::SERVER {
            let key = args.key.as_ref().map(|key| key.read(cx)).transpose()?;
            let (url, name) = (text("url"), text("name"));
            let endpoint = Endpoint::new(&url, &name, key);
            let (revision, says) = (model.meta["revision"].as_str(), model.meta["says"].clone());
            let endpoint = match (revision, &says) {
                (None, Json::Null) => endpoint,
                (Some(revision), Json::Null) => endpoint.known_as(&json!([url, name, revision]).to_string()),
                (revision, says) => endpoint.known_as(&json!([url, name, revision, says]).to_string()),
            };
            return Ok(Self { endpoint, service: None, says, one_at_a_time: false });
        }
        let backend = Backend::named(backend)?;
        let name = cx.args["$service"]["name"].as_str().unwrap_or(backend.name).to_owned();
        let gpus = serde_json::from_value(cx.args["$service"]["gpus"].clone()).unwrap_or_default();
        // A place of its own: the server outlives this node, and its name for the model should not change while it runs.
        let says = cx.args["$server"].clone();
        let keep = cx.store.scratch()?;
        let log = executors::log(cx.store, Digest::of(name.as_bytes()));
        let launch = || -> Result<Launch, OpError> {
            servers::compare(backend.name, &says, &|| backend.says())?;
            cx.say(&format!("starting {}", backend.name));
            let folder = keep.path().join("model");
            cx.lay_out(model, &folder)?;
            let served = Served {
                folder: folder.display().to_string(),
                gpus,
                max_images: args.max_images,
                pixels: (args.pixels.from, args.pixels.to),
            };
            let warm_up = backend.loads_late.then(|| {
                let hello = json!([{ "role": "user", "content": "Hello" }]);
                json!({ "model": backend.model(&folder), "messages": hello, "max_tokens": 1 })
            });
            let command = Box::new(move |port| backend.command(&served, port));
            Ok(Launch { command, install: backend.install, log, keep, deadline: LOADING, warm_up })
        };
        let running = service::open(&name, launch, cx.cancelled)?;
        let known = backend.model(&running.folder.join("model"));
        let mut identity = json!([backend.name, model.digest(), args.max_images, args.pixels.bounds()]);
        if let (Json::Array(identity), false) = (&mut identity, says.is_null()) {
            identity.push(says);
        }
        let endpoint = Endpoint::new(&running.url, &known, None).known_as(&identity.to_string());
        Ok(Self { endpoint, service: Some(name), says: Json::Null, one_at_a_time: backend.one_at_a_time })
    }

    /// Says whether a server that was started here is gone.
    fn ended(&self) -> bool {
        self.service.as_ref().is_some_and(|name| !service::runs(name))
    }

    fn ask(&self, cx: &Context, questions: &[Question]) -> Result<Asked<chat::Reply>, OpError> {
        let number = |name: &str| cx.with.get(name).and_then(Json::as_u64);
        let progress = |done: u64, total: u64| cx.progress(done, total, "replies");
        let alive = || !self.ended();
        let asked_for = cx.with["stall"].as_f64().filter(|s| *s > 0.0).map(Duration::from_secs_f64);
        let _turn = self.one_at_a_time.then(|| turn(cx)).transpose()?;
        let most = if self.one_at_a_time { 1 } else { 1024 };
        let manner = Manner {
            at_most: number("at_most").unwrap_or(16).clamp(1, most) as usize,
            retries: number("retries").unwrap_or(8) as u32,
            patience: asked_for.unwrap_or(PATIENCE).min(PATIENCE),
            budget: Budget::of(&cx.with)?,
            again: None,
            memo: cx.store.root().join("memo").join("chat"),
            blobs: cx.store,
            cancelled: cx.cancelled,
            alive: &alive,
            progress: &progress,
        };
        self.endpoint.compare(&self.says)?;
        let asked = ask_all(&self.endpoint, questions, &manner, |_, reply| Ok(reply.clone())).map_err(|mut e| {
            if let Some(name) = self.service.as_ref().filter(|name| !service::runs(name)) {
                e.message = format!("{}; it said last:\n{}", e.message, service::last_words(name));
            }
            e
        })?;
        // It may have become another in the meantime.
        self.endpoint.compare(&self.says)?;
        Ok(asked)
    }
}
