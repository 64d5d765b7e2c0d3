//! Evaluation at a server: the same table whatever goes wrong on the way, no answer paid for twice, servers started and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{Rgb, RgbImage};
use rbpipe::base::Digest;
use serde_json::{Value as Json, json};

use crate::chat_server::{Act, Server, text_of};
use crate::engine::signal;

const RECIPE: &str = r#"
recipe "served"
import std.{bench, read, mark, total, eval, model}
secret token from env "SERVED_TOKEN"

let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: .kind, question: .question, options: .options, key: .key, images: .images, cluster: .scene,
                  groups: { skill: .skill })
  |> bench.ask(choice: "Answer with the letter.", number: "Answer with a number.", generate: { max_tokens: 32tok })
  |> bench.read(choice: read.choice(), number: read.number())
  |> bench.mark(choice: mark.letter(), number: mark.mra())
  |> bench.total(headline: total.micro(), also: [total.nested(by: [.skill])])
  |> bench.compat(choice: read.choice_flagevalmm(), number: read.number_flagevalmm())
let zoo = { one: model.server("URL", name: "first", key: token, price: { prompt: 1.0, reply: 4.0 }), two: model.server("URL/v1", name: "second") }
let scores = sweep m in zoo, b in { asked } { eval.run(m, on: b, pixels: 64px..10_000px) } with { at_most: 8, stall: 5s, retries: 8 }
output table = scores.table(rows: "b", cols: "m", baseline: "one", show: ["ci", "delta", "n", "unparsed", "chance"]) to "out/table.md"
output facts = scores.table(rows: "b", cols: "m") to "out/table.json"
let paper = eval.published(source: "A paper & its appendix", asked: 55.5%)
output tex = scores.table(rows: "b", cols: "m", published: { paper }, show: ["ci", "compat", "tokens", "cost"]) to "out/table.tex"
"#;

/// How many items; a bench asks for more.
fn items() -> usize {
    std::env::var("RBPIPE_TEST_ITEMS").ok().and_then(|n| n.parse().ok()).unwrap_or(240)
}

fn write(folder: &Path, url: &str, n: usize) {
    RgbImage::from_pixel(40, 30, Rgb([9, 9, 9])).save(folder.join("small.png")).unwrap();
    RgbImage::from_fn(400, 300, |x, y| Rgb([x as u8, y as u8, 7])).save(folder.join("large.png")).unwrap();
    let row = |i: usize| {
        let number = i % 3 == 0;
        json!({
            "id": format!("q{i}"), "kind": if number { "number" } else { "choice" }, "question": format!("Question {i}?"),
            "options": if number { json!([]) } else { json!(["red", "green", "blue", "none of them"]) },
            "key": if number { (i % 7 + 1).to_string() } else { "ABCD"[i % 4..=i % 4].to_owned() },
            "images": if i % 5 == 0 { json!(["large.png", "small.png"]) } else { json!(["small.png"]) },
            "scene": format!("s{}", i / 4), "skill": if i % 2 == 0 { "near" } else { "far" },
        })
    };
    let text: String = (0..n).map(|i| format!("{}\n", row(i))).collect();
    fs::write(folder.join("items.jsonl"), text).unwrap();
    fs::write(folder.join("recipe.rb2"), RECIPE.replace("URL", url)).unwrap();
}

/// The number of a question.
fn number_of(text: &str) -> usize {
    text.split(|c: char| !c.is_ascii_digit()).find_map(|w| w.parse().ok()).unwrap()
}

/// What the scripted model says: right seven times of ten, in one of the forms that models use.
fn says(body: &Json) -> Act {
    let text = text_of(body);
    let luck = Digest::of(format!("{} {text}", body["model"]).as_bytes()).0;
    let number = number_of(&text);
    let right = luck[0] < 180;
    let value = if number % 3 == 0 {
        (if right { number % 7 + 1 } else { number % 7 + 2 }).to_string()
    } else {
        let at = if right { number % 4 } else { (number + 1) % 4 };
        "ABCD"[at..=at].to_owned()
    };
    match luck[1] % 32 {
        0 => Act::Text("I cannot see it.".into()),
        1 => Act::Refuse,
        n if n % 3 == 0 => Act::Text(format!("<think>let me see</think><answer>{value}</answer>")),
        n if n % 3 == 1 => Act::Text(format!("Answer: {value}")),
        _ => Act::Text(value),
    }
}

/// Answers that were sent whole, by model and question.
type Paid = Arc<Mutex<BTreeMap<String, usize>>>;

/// A server of the scripted model; each tenth request fails if `faulty`, in all ways in turn.
fn server(faulty: bool) -> (Server, Paid) {
    let paid = Paid::default();
    let count = Arc::clone(&paid);
    let server = Server::new(move |n, body| {
        if faulty && n % 10 == 3 {
            let overloaded = r#"{"object": "error", "message": "overloaded", "code": 429}"#;
            return match n / 10 % 6 {
                0 => Act::Fail(429, "retry-after: 0\r\n", overloaded),
                1 => Act::Fail(500, "", "<html>oops</html>"),
                2 => Act::Wait,
                3 => Act::Cut,
                4 => Act::Fail(200, "", r#"{"choices": [{"mess"#),
                _ => Act::Refuse,
            };
        }
        let act = says(body);
        if matches!(act, Act::Text(_)) {
            *count.lock().unwrap().entry(format!("{} {}", body["model"], text_of(body))).or_default() += 1;
        }
        act
    });
    (server, paid)
}

fn rbpipe(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
    command.args(["run", "recipe.rb2"]).current_dir(folder);
    command.envs([("RBPIPE_CACHE", folder.join("cache").as_os_str()), ("NO_COLOR", "1".as_ref())]);
    command.env("SERVED_TOKEN", "t0ken-of-mine");
    command
}

fn run(folder: &Path) -> String {
    let out = rbpipe(folder).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{text}");
    text
}

fn tables(folder: &Path) -> (String, String) {
    let read = |name: &str| fs::read_to_string(folder.join("out").join(name)).unwrap();
    (read("table.md"), read("table.json"))
}

fn most(paid: &Paid) -> usize {
    paid.lock().unwrap().values().copied().max().unwrap_or(0)
}

#[test]
fn whatever_fails_the_table_is_the_same() {
    let (good, bad) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let n = items();
    let (calm, paid) = server(false);
    write(good.path(), &calm.url, n);
    let text = run(good.path());
    assert_eq!(most(&paid), 1, "{text}");
    let want = tables(good.path());
    // By the script three in a hundred refuse for good, and as many say nothing that can be read.
    assert!(want.0.contains("unparsed"), "{}", want.0);
    let facts: Json = serde_json::from_str(&want.1).unwrap();
    assert!(want.0.contains("| asked |") && (want.0.contains("▼-") || want.0.contains("▲+")), "{}", want.0);
    assert_eq!(facts["rows"][0]["cells"].as_array().unwrap().len(), 2, "{facts}");

    let tex = fs::read_to_string(good.path().join("out/table.tex")).unwrap();
    for words in [
        "\\toprule",
        "& one & two & paper \\\\",
        "55.5 $\\dagger$",
        " + 10 tokens",
        "cost 0.",
        "compat",
        "A paper & its appendix",
    ] {
        assert!(tex.contains(words), "no {words}: {tex}");
    }

    let (head, body) = &calm.requests()[0];
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    for (field, value) in
        [("temperature", json!(0)), ("top_p", json!(1)), ("seed", json!(0)), ("max_tokens", json!(32))]
    {
        assert_eq!(body[field], value, "{field}");
    }
    let bearers = calm.requests().iter().filter(|(head, _)| head.contains("Bearer t0ken-of-mine")).count();
    let seconds = calm.requests().iter().filter(|(_, body)| body["model"] == "second").count();
    assert_eq!(bearers + seconds, calm.requests().len(), "the key goes to the model that it is for");
    let two = calm.requests().into_iter().find(|(_, b)| b["messages"][0]["content"].as_array().unwrap().len() == 3);
    let parts = two.unwrap().1["messages"][0]["content"].clone();
    assert!(parts[0]["image_url"]["url"].as_str().unwrap().starts_with("data:image/png;base64,"), "{parts}");

    let (rough, paid) = server(true);
    write(bad.path(), &rough.url, n);
    let text = run(bad.path());
    assert_eq!(tables(bad.path()), want, "{text}");
    assert_eq!(most(&paid), 1, "an answer was paid for twice: {text}");
    assert!(rough.requests().len() > 2 * n * 105 / 100);
    // Nothing that was written down knows the key.
    for entry in files(&bad.path().join("cache")) {
        assert!(!String::from_utf8_lossy(&fs::read(&entry).unwrap()).contains("t0ken-of-mine"), "{}", entry.display());
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

fn wait_for(what: impl Fn() -> bool, child: &mut Child) {
    while !what() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_was() {
    let n = items() / 2;
    let (calm, _) = server(false);
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), &calm.url, n);
    run(whole.path());

    let place = tempfile::tempdir().unwrap();
    let (rough, paid) = server(true);
    write(place.path(), &rough.url, n);
    // Asked to stop twice, then killed twice, each time a little further.
    for (stop, asked) in [(1, libc::SIGINT), (2, libc::SIGINT), (3, libc::SIGKILL), (4, libc::SIGKILL)] {
        let mut child = rbpipe(place.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(|| rough.requests().len() > stop * n / 3, &mut child);
        signal(&child, asked);
        child.wait().unwrap();
        let twice = paid.lock().unwrap().values().filter(|n| **n > 1).count();
        // Each model has at most eight requests under way when it is killed; one that was asked to stop waits for them.
        assert!(
            twice <= if asked == libc::SIGKILL { 16 * (stop - 2) } else { 0 },
            "{twice} paid twice after stop {stop} by signal {asked}"
        );
    }
    let text = run(place.path());
    assert_eq!(tables(place.path()), tables(whole.path()), "{text}");
    let before = rough.requests().len();
    run(place.path());
    assert_eq!(rough.requests().len(), before, "a finished run asks nothing");
}

#[test]
fn a_server_that_goes_down_leaves_a_hole_and_the_next_run_fills_it() {
    let (n, place) = (60, tempfile::tempdir().unwrap());
    let up = Arc::new(AtomicBool::new(false));
    let (well, said) = (Arc::clone(&up), AtomicUsize::new(0));
    let server = Server::new(move |_, body| {
        let second = body["model"] == "second";
        if second && !well.load(Ordering::SeqCst) && said.fetch_add(1, Ordering::SeqCst) >= 20 {
            return Act::Fail(503, "", r#"{"error": {"message": "no worker is left"}}"#);
        }
        says(body)
    });
    write(place.path(), &server.url, n);
    let recipe = RECIPE.replace("URL", &server.url).replace("retries: 8", "retries: 1, on_error: \"keep_going\"");
    fs::write(place.path().join("recipe.rb2"), recipe).unwrap();
    let out = rbpipe(place.path()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(3) && text.contains("run again: what was answered is remembered"), "{text}");
    assert_eq!(text.matches("FAIL  scores[two,asked]").count(), 1, "{text}");
    let asked = |model: &str| server.requests().iter().filter(|(_, body)| body["model"] == model).count();
    // Eight at a time: those under way when it is left end with their try.
    assert!((20 + 20..=20 + 2 * 18).contains(&asked("second")), "{}", asked("second"));
    let table = fs::read_to_string(place.path().join("out/table.md")).unwrap();
    assert!(
        table.contains("10 questions in a row failed") && table.contains("no worker is left"),
        "the hole has its reason: {table}"
    );

    up.store(true, Ordering::SeqCst);
    let (first, second) = (asked("first"), asked("second"));
    run(place.path());
    assert_eq!(asked("first"), first, "the model that was done is not asked");
    let table = fs::read_to_string(place.path().join("out/table.md")).unwrap();
    assert!(!table.contains("in a row"), "{table}");
    // Of the twenty, refusals are asked again within the run that gets them; the rest was never answered.
    let distinct: BTreeSet<String> =
        server.requests()[first + second..].iter().map(|(_, body)| text_of(body)).collect();
    assert!((n - 20..n - 10).contains(&distinct.len()), "{}", distinct.len());
}

#[test]
fn servers_that_cannot_be_asked_are_named() {
    for (status, body, words) in [
        (401, r#"{"error": {"message": "bad key"}}"#, "refused"),
        (404, r#"{"detail": "no model first"}"#, "no model first"),
        (400, r#"{"object": "error", "message": "unknown field", "code": 400}"#, "malformed"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let server = Server::new(move |_, _| Act::Fail(status, "", body));
        write(place.path(), &server.url, 20);
        let out = rbpipe(place.path()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(3) && text.contains(words), "{text}");
    }
    for (from, to, code, words) in [
        ("at_most: 8", "serve: \"vlm\"", "E0213", "did you mean \"vllm\"?"),
        ("model.server(\"URL/v1\"", "model.server(\"URL/v1\", nam: \"x\"", "E0210", "did you mean `name`?"),
        (
            "output facts",
            "output pair = model.classifier(zoo.one, into: [\"a\", \"b\"], prompt: \"?\")\noutput facts",
            "E0304",
            "needs the weights of its model",
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), "http://127.0.0.1:9", 4);
        let path = place.path().join("recipe.rb2");
        fs::write(&path, RECIPE.replace(from, to).replace("URL", "http://127.0.0.1:9")).unwrap();
        let out = rbpipe(place.path()).args(["--no-exec"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(1) && text.contains(code) && text.contains(words), "{text}");
    }
}

/// What a server lists for the first word of its answer to a question: half of what is left for each further option, and one that it leaves out.
fn listed(right: usize) -> Json {
    let tokens = ["A", "B", "C", "D"];
    let token = |(rank, turn): (usize, usize)| {
        let letter = tokens[(right + turn) % 4];
        let word = if rank == 0 { format!(" {letter}") } else { letter.to_owned() };
        json!({ "token": word, "logprob": 0.5f64.powi(rank as i32 + 1).ln() })
    };
    let mut list: Vec<Json> = [0, 1, 2].map(|turn| token((turn, turn))).into();
    list.push(json!({ "token": "The", "logprob": 0.0625f64.ln() }));
    Json::Array(list)
}

#[test]
fn a_server_says_how_sure_it_is() {
    let n = 60;
    let (said, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(15)));
    let (count, bound) = (Arc::clone(&said), Arc::clone(&most));
    let server = Server::new(move |_, body| {
        let number = number_of(&text_of(body));
        if number % 3 == 0 {
            return Act::Text((number % 7 + 1).to_string());
        }
        if count.fetch_add(1, Ordering::SeqCst) >= bound.load(Ordering::SeqCst) {
            count.fetch_sub(1, Ordering::SeqCst);
            return Act::Fail(401, "", r#"{"error": {"message": "come back tomorrow"}}"#);
        }
        let at = number % 4;
        let text = if number == 1 { "?" } else { &"ABCD"[at..=at] };
        Act::Likely(text.into(), listed(at))
    });
    let place = tempfile::tempdir().unwrap();
    write_sure(place.path(), &server.url, n);
    let out = rbpipe(place.path()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(3) && text.contains("come back tomorrow"), "{text}");
    for (_, body) in server.requests() {
        let choice = body["messages"].to_string().contains("Answer with the letter");
        assert_eq!(body["logprobs"] == true && body["top_logprobs"] == 20, choice, "{body}");
    }

    // What was said before it stopped is remembered, with its probabilities.
    most.store(usize::MAX, Ordering::SeqCst);
    run(place.path());
    assert_eq!(said.load(Ordering::SeqCst), 40, "each choice was answered once");
    let items = fs::read_to_string(place.path().join("out/items.jsonl")).unwrap();
    let items: Vec<Json> = items.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(items.len(), n);
    for (i, item) in items.iter().enumerate() {
        let p: Vec<f64> = item["option_p"].as_str().map_or(Vec::new(), |p| serde_json::from_str(p).unwrap());
        if i % 3 == 0 || i == 1 {
            assert_eq!(p, Vec::<f64>::new(), "a number has no options, and no word no probabilities: {item}");
            continue;
        }
        // A half, a quarter, an eighth, and the least that is listed for the one that is not, over their sum.
        for (turn, share) in [8.0, 4.0, 2.0, 1.0].into_iter().enumerate() {
            assert!((p[(i % 4 + turn) % 4] - share / 15.0).abs() < 1e-9, "{item}");
        }
    }
    let score: Json = serde_json::from_str(&fs::read_to_string(place.path().join("out/score.json")).unwrap()).unwrap();
    assert_eq!(score["calibration"]["n"], 39, "{score}");
    assert!((score["calibration"]["raw"]["confidence"].as_f64().unwrap() - 8.0 / 15.0).abs() < 1e-9);
}

#[test]
fn a_server_that_does_not_say_how_sure_it_is_is_left() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::new(|_, body| Act::Text(if number_of(&text_of(body)) % 3 == 0 { "3" } else { "A" }.into()));
    write_sure(place.path(), &server.url, 60);
    let out = rbpipe(place.path()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(3) && text.contains("gives no log-probabilities"), "{text}");
    assert!(text.contains("top_logprobs") && server.requests().len() <= 6, "{}: {text}", server.requests().len());
}

fn write_sure(folder: &Path, url: &str, n: usize) {
    write(folder, url, n);
    let sure = r#"
let score = eval.run(model.server("URL", name: "m"), on: asked, confidence: true) with { at_most: 2 }
output score = score to "out/score.json"
output items = score.items to "out/items.jsonl"
"#;
    let declared = RECIPE[..RECIPE.find("let zoo").unwrap()].replace("secret token from env \"SERVED_TOKEN\"\n", "");
    fs::write(folder.join("recipe.rb2"), format!("{declared}{}", sure.replace("URL", url))).unwrap();
}

/// A program that takes the arguments of vLLM or of transformers and writes them down, serves the protocol, and fails as `MOOD` says.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import http.server, json, os, re, sys, threading, time
home = os.environ["SERVED_HOME"]
with open(home + "/starts", "a") as f:
    f.write(json.dumps(sys.argv[1:]) + "\n")
mood = open(home + "/mood").read()
print("loading the model", flush=True)
if mood == "broken":
    sys.exit("CUDA out of memory")
try:
    os.close(os.open(home + "/first", os.O_CREAT | os.O_EXCL))
    first = True
except FileExistsError:
    first = False
asked = busy = most = 0
lock = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def say(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        self.say({"data": [{"id": "model"}]})
    def do_POST(self):
        global asked, busy, most
        with lock:
            asked, busy = asked + 1, busy + 1
            nth = asked
            most = max(most, busy)
            open(home + "/most", "w").write(str(most))
        if mood == "slow":
            time.sleep(0.02)
        self.reply(nth)
    def reply(self, nth):
        global busy
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if mood == "dying" and first and nth == 20:
            print("a worker was lost", flush=True)
            os._exit(7)
        number = re.search(r"Question (\d+)", json.dumps(body["messages"][-1]))
        number = int(number.group(1)) if number else 0
        text = str(number % 7 + 1) if number % 3 == 0 else "ABCD"[number % 4]
        folder = sys.argv[3] if sys.argv[2] == "--force-model" else sys.argv[2]
        assert os.path.isfile(folder + "/config.json"), "the model's folder is not there"
        with lock:
            busy -= 1
        self.say({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

const STARTED: &str = r#"
let small = model.hf("MODELS/tiny-base")
let other = model.hf("MODELS/tiny-small")
let again = asked
let scores = sweep m in { small, other }, b in { asked, again } { eval.run(m, on: b) } with { serve: "vllm", gpus: 0, at_most: 4, on_error: "keep_going" }
output table = scores.table(rows: "b", cols: "m", show: ["n"]) to "out/table.md"
"#;

/// Runs the sweep with the stand-in as the program `serve`, in a mood.
fn started(folder: &Path, serve: &str, mood: &str) -> std::process::Output {
    use std::os::unix::fs::PermissionsExt;
    write(folder, "http://127.0.0.1:9", 30);
    let recipe = fs::read_to_string(folder.join("recipe.rb2")).unwrap();
    let declared = &recipe[..recipe.find("let zoo").unwrap()];
    let started = STARTED.replace("MODELS", concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/models"));
    let started = started.replace("vllm", serve);
    fs::write(folder.join("recipe.rb2"), format!("{declared}{started}")).unwrap();
    let program = folder.join(serve);
    fs::write(&program, PROGRAM).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("mood"), mood).unwrap();
    let variable = format!("RBPIPE_{}", serve.to_uppercase());
    rbpipe(folder).env(variable, &program).env("SERVED_HOME", folder).output().unwrap()
}

#[test]
fn servers_are_started_shared_and_stopped() {
    for (mood, code, words) in [("well", 0, ""), ("dying", 0, ""), ("broken", 3, "CUDA out of memory")] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let out = started(folder, "vllm", mood);
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(code) && text.contains(words), "{mood}: {text}");
        let table = fs::read_to_string(folder.join("out/table.md")).unwrap();
        assert_eq!(table.matches("failed: the server").count(), if code == 0 { 0 } else { 4 }, "{table}");
        let starts = fs::read_to_string(folder.join("starts")).unwrap();
        let starts: Vec<Json> = starts.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        if code == 0 {
            assert_eq!(starts.len(), if mood == "dying" { 3 } else { 2 }, "each model once: {starts:?}");
            assert_eq!(table.matches("100.0").count(), 4 + 2, "{table}");
            let words: Vec<&str> = starts[0].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
            assert_eq!((words[0], words[2], words[3]), ("serve", "--served-model-name", "model"));
            for pair in [["--generation-config", "vllm"], ["--limit-mm-per-prompt", "{\"image\": 32}"]] {
                assert!(words.windows(2).any(|w| w == pair), "{words:?}");
            }
            let ports: Vec<&str> = starts.iter().map(|s| s.as_array().unwrap()).map(port).collect();
            for port in ports {
                let address = format!("127.0.0.1:{port}");
                assert!(std::net::TcpStream::connect(&address).is_err(), "a server still runs at {address}");
            }
        }
    }
}

/// `transformers serve` mixes up the pictures of questions side by side, so that it is asked one at a time, by all cells together.
#[test]
fn a_server_that_spoils_replies_side_by_side_is_asked_one_question_at_a_time() {
    for serve in ["transformers", "vllm"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let out = started(folder, serve, "slow");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let most: usize = fs::read_to_string(folder.join("most")).unwrap().parse().unwrap();
        assert_eq!(most > 1, serve == "vllm", "{serve} was asked {most} at a time");
    }
}

fn port(words: &Vec<Json>) -> &str {
    let at = words.iter().position(|w| w == "--port").unwrap();
    words[at + 1].as_str().unwrap()
}
