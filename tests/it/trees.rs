//! Trees of large blobs: parts of them that are compared as they arrive, transfers that go on, and damage that is named and mended by its bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rbpipe::base::Digest;
use rbpipe::engine::Store;
use rbpipe::engine::storage::tree::{GROUP, Growing, LEAST, Tree};

use crate::buckets::{Bucket, Service};
use crate::cache::age;
use crate::engine::{Place, Ran, files_below, until};
use crate::proxy::{Fault, LIE, Proxy};
use crate::remote::{Shared, Web};

const RECIPE: &str = r#"
recipe "large"
import std.{data}
schema Row { id: Str, text: Str, n: Int }
let rows = data.jsonl("rows.jsonl", as: Row)
expect rows.rows > 1rows else "none"
output all = rows to "out/all.jsonl"
"#;

/// A recipe whose result has one large blob, of 2.5 kB a row.
pub fn large(rows: usize) -> Place {
    let place = Place::new();
    place.write("recipe.rb2", RECIPE);
    let text = |i: usize| Digest::of(&i.to_le_bytes()).hex().repeat(40);
    let row = |i| format!("{{\"id\": \"r{i}\", \"text\": \"{}\", \"n\": {i}}}\n", text(i));
    place.write("rows.jsonl", &(0..rows).map(row).collect::<String>());
    place
}

/// The large blob of a store or of a remote that is a folder.
fn blob(root: &Path) -> PathBuf {
    let of = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let found = files_below(&root.join("blobs")).into_iter().max_by_key(of).unwrap();
    assert!(of(&found) >= LEAST);
    found
}

/// A recipe's result, of which a server has the large blob, behind a proxy.
struct Served {
    _bucket: Bucket,
    proxy: Proxy,
    shared: Shared,
    place: Place,
    /// The large blob in the store of `place`.
    whole: PathBuf,
    /// How the proxy is told of it.
    path: &'static str,
}

impl Served {
    fn start(name: &str) -> Option<Self> {
        let bucket = Bucket::start(Service::S3)?;
        let proxy = Proxy::before(bucket.port);
        let shared = bucket.shared_at(proxy.port, name);
        let place = large(4_000);
        place.done();
        shared.push(&place, &[]);
        let whole = blob(&place.cache());
        let path = whole.strip_prefix(place.cache()).unwrap().to_str().unwrap().to_owned().leak();
        Some(Self { _bucket: bucket, proxy, shared, place, whole, path })
    }
}

/// Puts other bytes into the place of a file.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, groups: &[u64]) {
    change(path, |bytes| groups.iter().for_each(|group| bytes[(group * GROUP) as usize + 7] ^= 4));
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Bytes that came over the line.
fn fetched(ran: &Ran) -> u64 {
    ran.said("node_fetched").iter().map(|event| event["bytes"].as_u64().unwrap()).sum()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut out);
    out
}

fn grown(bytes: &[u8], piece: usize) -> Growing {
    let mut growing = Growing::default();
    bytes.chunks(piece.max(1)).for_each(|piece| growing.update(piece));
    growing
}

#[test]
fn a_tree_comes_to_the_digest_of_its_blob_and_vouches_for_each_group() {
    let group = GROUP as usize;
    let all = noise(33 * group + 5);
    let lengths = [
        0,
        1,
        1024,
        1025,
        group - 1,
        group,
        group + 1,
        2 * group,
        3 * group,
        7 * group + 1,
        16 * group,
        33 * group + 5,
    ];
    for length in lengths {
        for piece in [1 << 13, group, 100_003, all.len()] {
            let growing = grown(&all[..length], piece);
            assert_eq!(
                (growing.digest(), growing.bytes()),
                (Digest::of(&all[..length]), length as u64),
                "{length} {piece}"
            );
            assert_eq!(growing.tree().is_some(), length as u64 >= LEAST);
        }
    }
    let tree = grown(&all, group).tree().unwrap();
    for range in tree.groups() {
        let bytes = &all[range.start as usize..range.end as usize];
        let fits = |bytes: &[u8]| tree.fits(range.start, bytes.chunks(70_000));
        let mut other = bytes.to_vec();
        other[bytes.len() / 2] ^= 1;
        assert!(fits(bytes) && !fits(&other) && !fits(&bytes[1..]) && !fits(&[bytes, b"x"].concat()), "{range:?}");
        assert!(!tree.fits(range.start + 1, std::iter::once(bytes)));
    }
    let mut other = all.clone();
    for at in [0, 2 * group, 3 * group - 1, 33 * group] {
        other[at] ^= 1;
    }
    let last = 33 * GROUP..33 * GROUP + 5;
    assert_eq!(tree.wrong_in(&mut &other[..]).unwrap(), [0..GROUP, 2 * GROUP..3 * GROUP, last.clone()]);
    assert_eq!(tree.wrong_in(&mut &all[..all.len() - 1]).unwrap(), [last]);
    assert_eq!(tree.wrong_in(&mut &all[..]).unwrap(), []);
}

#[test]
fn a_tree_that_is_cut_or_changed_at_any_byte_is_none() {
    let bytes = noise(LEAST as usize + 3);
    let digest = Digest::of(&bytes);
    let tree = grown(&bytes, 1 << 16).tree().unwrap();
    let file = tree.file();
    assert_eq!(Tree::parse(&file, digest).as_ref(), Some(&tree));
    assert!(file.len() as u64 <= Tree::most(tree.bytes()));
    for at in 0..file.len() {
        assert_eq!(Tree::parse(&file[..at], digest), None, "cut at {at}");
        let mut other = file.clone();
        other[at] ^= 1;
        // How long the last group is, its node tells together with its bytes.
        let length = Tree::parse(&other, digest);
        assert!(
            length.is_none_or(|t| (24..32).contains(&at) && t.wrong_in(&mut &bytes[..]).unwrap().len() == 1),
            "byte {at}"
        );
    }
    assert_eq!(Tree::parse(&[&file[..], b"x"].concat(), digest), None);
    assert_eq!(Tree::parse(&file, Digest::of(b"another")), None);
}

#[test]
fn a_remote_that_lies_is_noticed_after_a_group() {
    let Some(Served { proxy, shared, whole, path, .. }) = &Served::start("lies") else { return };

    // The rest does not come before the client has hung up. Asked again, it goes on behind what was right.
    proxy.set(Fault::Lie, "GET", path, 1);
    let second = large(4_000);
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let refused = ran.said("remote_refused");
    let named = format!("its bytes {GROUP} to {}", 2 * GROUP);
    assert!((GROUP as usize..2 * GROUP as usize).contains(&LIE));
    assert!(refused.len() == 1 && refused[0]["message"].as_str().unwrap().contains(&named), "{}", ran.stderr);
    assert_eq!(proxy.asked(path).0, [None, Some(format!("bytes={GROUP}-{}", size(&whole) - 1))]);
    assert_eq!(fs::read(blob(&second.cache())).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0);
}

#[test]
fn a_transfer_that_was_cut_goes_on_behind_what_came() {
    let Some(Served { proxy, shared, whole, path, .. }) = &Served::start("cut") else { return };

    // Within a run: more often than the client of the service goes on by itself.
    proxy.set(Fault::Cut, "GET", path, 9);
    let second = large(4_000);
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (ranges, sent) = proxy.asked(path);
    assert!(ranges.len() > 9 && (sent as u64) < size(&whole) + 2 * GROUP, "{sent} of {}: {ranges:?}", size(&whole));

    // Over processes.
    proxy.set(Fault::Stall, "GET", path, 1);
    let third = large(4_000);
    let mut command = shared.command(&third, &["run", "recipe.rb2", "--no-exec", "--remote", &shared.address]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let come = || files_below(&third.cache().join("parts")).first().map_or(0, |part| size(part));
    assert!(until(|| come() >= 2 << 20), "nothing comes");
    child.kill().unwrap();
    child.wait().unwrap();
    let there = come() / GROUP * GROUP;
    proxy.set(Fault::Stall, "GET", path, 0);
    let ran = shared.run(&third, &["--no-exec"]);
    assert_eq!((ran.code, ran.executed().len()), (0, 0), "{}", ran.stderr);
    let rest = size(&whole) - there;
    assert_eq!(proxy.asked(path), (vec![Some(format!("bytes={there}-{}", size(&whole) - 1))], rest as usize));
    for place in [&second, &third] {
        assert_eq!(fs::read(blob(&place.cache())).unwrap(), fs::read(&whole).unwrap());
        assert_eq!(shared.ask(place, &["cache", "verify"]).0, 0);
        assert!(
            files_below(&place.cache().join("parts")).is_empty() && files_below(&place.cache().join("tmp")).is_empty()
        );
    }
}

#[test]
fn a_pull_that_is_killed_after_any_step_fetches_nothing_twice() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let (first, second) = (large(2_000), large(2_000));
    first.done();
    shared.push(&first, &[]);
    let all: u64 = files_below(&root.path().join("blobs")).iter().map(|file| size(file)).sum();
    let (whole, mut parts) = (size(&blob(root.path())), 0);
    for step in 1.. {
        let _ = fs::remove_dir_all(second.cache());
        let mut command = shared.command(&second, &["run", "recipe.rb2", "--no-exec", "--remote", &shared.address]);
        let out = command.env("RBPIPE_DIE_AFTER", step.to_string()).output().unwrap();
        let blobs: u64 = files_below(&second.cache().join("blobs")).iter().map(|file| size(file)).sum();
        // All of it, or whole groups.
        let come = |part: &PathBuf| if size(part) == whole { whole } else { size(part) / GROUP * GROUP };
        let part = files_below(&second.cache().join("parts")).first().map_or(0, come);
        parts += u64::from(part > 0);
        let ran = shared.run(&second, &["--no-exec"]);
        assert_eq!(ran.code, 0, "step {step}: {}", ran.stderr);
        let recorded = ran.said("node_fetched").is_empty();
        assert_eq!(fetched(&ran), if recorded { 0 } else { all - blobs - part }, "step {step}");
        assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0, "step {step}");
        assert_eq!(second.read("out/all.jsonl"), first.read("out/all.jsonl"), "step {step}");
        let left = ["parts", "tmp"].map(|folder| files_below(&second.cache().join(folder)).len());
        assert_eq!(left, [0, 0], "step {step}: something is left behind");
        if out.status.success() {
            break;
        }
    }
    assert!(parts > 10, "only {parts} times something had come");
}

#[test]
fn what_came_before_the_machine_was_started_is_compared_again() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let (first, second) = (large(2_000), large(2_000));
    first.done();
    shared.push(&first, &[]);
    // The remote's blob ends before its digest does: what is right of it comes.
    let whole = fs::read(blob(root.path())).unwrap();
    flip(&blob(root.path()), &[5]);
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!((ran.code, ran.said("remote_failed").len()), (5, 1), "{}", ran.stderr);
    let part = files_below(&second.cache().join("parts")).remove(0);
    assert_eq!(size(&part), 5 * GROUP);
    let (digest, _) = part.file_name().unwrap().to_str().unwrap().split_once('-').unwrap();
    let older = part.with_file_name(format!("{digest}-00000000"));
    fs::rename(&part, &older).unwrap();
    flip(&older, &[2]);
    fs::write(blob(root.path()), &whole).unwrap();
    let others: u64 = files_below(&root.path().join("blobs")).iter().map(|file| size(file)).sum();
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // All blobs but the four groups that were right.
    let here = files_below(&second.cache().join("blobs")).len();
    assert!(here > 3 && fetched(&ran) <= others - 4 * GROUP && fetched(&ran) >= whole.len() as u64 - 4 * GROUP);
    assert!(fs::read(blob(&second.cache())).unwrap() == whole && !older.exists());
}

#[test]
fn a_web_server_without_ranges_sends_the_whole_and_what_is_here_passes_by() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let (first, second) = (large(2_000), large(2_000));
    first.done();
    shared.push(&first, &[]);
    let Some(web) = Web::serve(root.path()) else { return };
    let whole = fs::read(blob(root.path())).unwrap();
    flip(&blob(root.path()), &[5]);
    assert_eq!(shared.run(&second, &["--no-exec"]).code, 5);
    assert_eq!(size(&files_below(&second.cache().join("parts"))[0]), 5 * GROUP);
    fs::write(blob(root.path()), &whole).unwrap();
    let served = Shared { address: format!("http://127.0.0.1:{}", web.1), env: Vec::new() };
    let ran = served.run(&second, &["--no-exec"]);
    assert_eq!((ran.code, ran.said("remote_refused").len()), (0, 0), "{}", ran.stderr);
    assert!(fetched(&ran) >= whole.len() as u64 && fs::read(blob(&second.cache())).unwrap() == whole);
}

#[test]
fn damage_is_named_by_its_bytes_and_those_alone_are_fetched() {
    let Some(Served { proxy, shared, place, whole: there, path, .. }) = &Served::start("mended") else { return };
    let whole = fs::read(there).unwrap();
    let last = whole.len() as u64 / GROUP;
    let ranges = |groups: &[(u64, u64)]| -> Vec<Option<String>> {
        let end = |to: u64| (to * GROUP).min(whole.len() as u64) - 1;
        groups.iter().map(|(from, to)| Some(format!("bytes={}-{}", from * GROUP, end(*to)))).collect()
    };

    flip(&there, &[1, 8, 9, last]);
    let (code, said) = shared.ask(&place, &["cache", "verify"]);
    let named = format!(
        "bytes {GROUP} to {}, {} to {}, {} to {} of {}",
        2 * GROUP,
        8 * GROUP,
        10 * GROUP,
        last * GROUP,
        whole.len(),
        whole.len()
    );
    assert!(code == 5 && said.contains(&named), "{named}: {said}");
    proxy.set(Fault::Hang, "GET", path, 0);
    let repair = ["cache", "verify", "--repair", "--remote", &shared.address];
    let (code, said) = shared.ask(&place, &repair);
    assert!(code == 0 && said.contains("mended") && said.contains("all bytes are as recorded"), "{said}");
    assert_eq!(proxy.asked(path).0, ranges(&[(1, 2), (8, 10), (last, last + 1)]));
    assert!(fs::read(&there).unwrap() == whole);
    assert_eq!(place.run(&["--no-exec"]).code, 0, "no record was forgotten");

    // What lacks at the end, or is too much, is damage as well.
    for (cut, named) in [(true, format!("bytes {} to {}", 20 * GROUP, whole.len())), (false, "more than its".into())] {
        change(&there, |bytes| if cut { bytes.truncate(20 * GROUP as usize) } else { bytes.push(0) });
        let (code, said) = shared.ask(&place, &repair);
        assert!(code == 0 && said.contains(&named) && fs::read(&there).unwrap() == whole, "{named}: {said}");
    }

    // On first use within a run, too.
    flip(&there, &[3]);
    fs::remove_dir_all(place.path("out")).unwrap();
    proxy.set(Fault::Hang, "GET", path, 0);
    let ran = shared.run(&place, &[]);
    assert_eq!((ran.code, ran.executed().len(), fetched(&ran)), (0, 0, GROUP), "{}", ran.stderr);
    assert_eq!(ran.said("bytes_damaged").len(), 1, "{}", ran.stderr);
    assert_eq!(proxy.asked(path).0, ranges(&[(3, 4)]));
    assert!(fs::read(&there).unwrap() == whole);

    // Where the remote is damaged as well, what neither has is told, and made anew as ever; a push mends the remote.
    fs::remove_dir_all(place.cache().join("quarantine")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = Shared::folder(folder.path());
    other.push(&place, &[]);
    flip(&blob(folder.path()), &[4]);
    flip(&there, &[4, 6]);
    let (code, said) = other.ask(&place, &["cache", "verify", "--repair", "--remote", &other.address]);
    assert!(code == 0 && said.contains(&format!("its bytes {} to {}", 4 * GROUP, 5 * GROUP)), "{said}");
    assert!(said.contains("moved 1 blob to `quarantine/`"), "{said}");
    place.done();
    other.push(&place, &["--again"]);
    assert!(fs::read(blob(folder.path())).unwrap() == whole);
}

/// What becomes of a tree.
const TREES: &[(&str, fn(&mut Vec<u8>))] = &[
    ("empty", Vec::clear),
    ("cut", |bytes| bytes.truncate(bytes.len() - 32)),
    ("long", |bytes| bytes.resize(2 << 20, 0)),
    ("another", |bytes| *bytes.last_mut().unwrap() ^= 1),
    ("other size", |bytes| bytes[24] ^= 1),
];

#[test]
fn a_tree_that_lacks_or_is_wrong_is_not_believed_and_stops_nothing() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let first = large(2_000);
    first.done();
    shared.push(&first, &[]);
    let tree = files_below(&root.path().join("trees")).remove(0);
    let (good, whole) = (fs::read(&tree).unwrap(), fs::read(blob(root.path())).unwrap());
    for (how, damage) in TREES {
        change(&tree, damage);
        let second = large(2_000);
        let ran = shared.run(&second, &["--no-exec"]);
        assert_eq!((ran.code, ran.said("remote_refused").len()), (0, 1), "{how}: {}", ran.stderr);
        assert!(ran.said("remote_refused")[0]["what"].as_str().unwrap().starts_with("tree of blob"), "{how}");
        // The whole blob was compared, and its tree came to be by that.
        let own = files_below(&second.cache().join("trees"));
        assert!(own.len() == 1 && fs::read(&own[0]).unwrap() == good, "{how}");
        assert!(fs::read(blob(&second.cache())).unwrap() == whole, "{how}");
        // A wrong one in the store is none, and is written again by who reads the whole blob.
        change(&own[0], damage);
        assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0, "{how}");
        for boot in files_below(&second.cache().join("seen")) {
            fs::remove_file(boot).unwrap();
        }
        fs::remove_dir_all(second.path("out")).unwrap();
        assert_eq!(second.run(&["--no-exec"]).code, 0, "{how}");
        assert!(fs::read(&own[0]).unwrap() == good, "{how}");
        shared.push(&first, &["--again"]);
        assert!(fs::read(&tree).unwrap() == good, "{how}: a push mends it");
    }

    // A remote and a store of a build that knew no trees.
    fs::remove_dir_all(root.path().join("trees")).unwrap();
    fs::remove_dir_all(first.cache().join("trees")).unwrap();
    let second = large(2_000);
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!((ran.code, ran.said("remote_refused").len()), (0, 0), "{}", ran.stderr);
    flip(&blob(&first.cache()), &[1]);
    let (code, said) = shared.ask(&first, &["cache", "verify"]);
    assert!(code == 5 && said.contains("damaged") && !said.contains("bytes 262144"), "{said}");
    assert_eq!(shared.ask(&first, &["cache", "verify", "--repair", "--remote", &shared.address]).0, 0);
    assert!(fs::read(blob(&first.cache())).unwrap() == whole);

    // Who pushes to it brings them.
    fs::remove_dir_all(root.path().join("records")).unwrap();
    shared.push(&second, &[]);
    assert!(fs::read(&tree).unwrap() == good);
}

#[test]
fn trees_go_with_their_blobs() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let place = large(2_000);
    place.done();
    shared.push(&place, &[]);
    let trees = |root: &Path| files_below(&root.join("trees")).len();
    let ask = |args: &[&str]| {
        let (code, said) = shared.ask(&place, args);
        assert_eq!(code, 0, "{said}");
        said
    };
    let here = ["cache", "gc", "--keep-runs", "0", "--keep-days", "0", "--grace", "0s"];
    let there = ["cache", "gc", "--remote", &shared.address, "--settle", "0s"];
    age(&place.cache());
    ask(&["cache", "gc", "--apply"]);
    ask(&[&there[..], &["--apply"]].concat());
    assert_eq!((trees(&place.cache()), trees(root.path())), (1, 1), "what is needed stays");

    // One without a blob goes.
    let stray = |root: &Path| {
        let path = root.join("trees/00").join("1".repeat(62));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no tree").unwrap();
    };
    stray(&place.cache());
    age(&place.cache());
    ask(&["cache", "gc", "--apply"]);
    assert_eq!(trees(&place.cache()), 1);

    age(&place.cache());
    fs::remove_dir_all(place.path("out")).unwrap();
    let said = ask(&[&here[..], &["--drop-outputs", "--apply"]].concat());
    assert!(said.contains("trees of large blobs"), "{said}");
    assert_eq!(trees(&place.cache()), 0);
    stray(root.path());
    for file in files_below(root.path()) {
        let then = std::time::SystemTime::now() - Duration::from_secs(30 * 86_400);
        fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
    }
    ask(&[&there[..], &["--apply"]].concat());
    assert_eq!((trees(root.path()), files_below(&root.path().join("blobs")).len()), (0, 0));
    assert!(Store::open(place.cache()).unwrap().tree(Digest::of(b"x")).is_none());
}
