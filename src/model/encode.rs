//! Turns conversations into ids and labels: with Qwen2.5-VL's template exactly as LLaMA-Factory's `qwen2_vl` does.

use super::chat::{Said, Turn};
use super::collate::IGNORE;
use super::template::mark;
use super::tokenizer::Tokenizer;
use crate::base::OpError;

/// How a conversation becomes ids and labels.
#[derive(Clone, Debug)]
pub struct SftOptions {
    /// Most tokens of a sample.
    pub cutoff: usize,
    /// Learn the last reply only; when cut, the first turns go.
    pub mask_history: bool,
    /// Learn the prompt too.
    pub train_on_prompt: bool,
    /// Instead of the default system text.
    pub system: Option<String>,
}

impl Default for SftOptions {
    fn default() -> Self {
        Self { cutoff: usize::MAX, mask_history: false, train_on_prompt: false, system: None }
    }
}

/// Ids and labels of one sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<i64>,
    /// [`IGNORE`] where no loss is taken, else the id.
    pub labels: Vec<i64>,
    /// Tokens before the cutoff took some; of the longest of several replies.
    pub full_len: usize,
}

/// Encodes a conversation of (role, text) messages, users first, replies in turn; a leading `system` message is the system
/// text. `images` and `videos` are the tokens of each file, in the order of the `<image>` and `<video>` markers.
///
/// The system and user blocks and each reply are tokenised separately; the newline after a reply's end is learned.
///
/// # Errors
/// `E0612` when markers and files differ in number, or roles do not alternate.
///
/// # Source
/// LLaMA-Factory ff6d4d1, `SupervisedDatasetProcessor._encode_data_example`; equal to all cases of `encode.json`.
pub fn encode_sft(
    tokenizer: &Tokenizer,
    messages: &[(String, String)],
    images: &[i64],
    videos: &[i64],
    options: &SftOptions,
) -> Result<Encoded, OpError> {
    let mut turns = turns(tokenizer, messages, images, videos, options.system.as_deref())?;
    let full_len = turns.iter().map(|(s, t)| s.len() + t.len()).sum();
    if options.mask_history {
        turns.reverse();
    }
    let mut kept: Vec<Encoded> = Vec::new();
    let mut total = 0;
    for (number, (source, target)) in turns.iter().enumerate() {
        if total >= options.cutoff {
            break;
        }
        let (s, t) = infer_lengths(source.len(), target.len(), options.cutoff - total);
        total += s + t;
        let (source, target) = (&source[..s], &target[..t]);
        let mut labels = if options.train_on_prompt { source.to_vec() } else { vec![IGNORE; s] };
        let masked = options.mask_history && number != 0;
        labels.extend(target.iter().map(|&id| if masked { IGNORE } else { id }));
        kept.push(Encoded { ids: [source, target].concat(), labels, full_len: 0 });
    }
    if options.mask_history {
        kept.reverse();
    }
    Ok(Encoded {
        ids: kept.iter().flat_map(|e| e.ids.clone()).collect(),
        labels: kept.into_iter().flat_map(|e| e.labels).collect(),
        full_len,
    })
}

/// Encodes a prompt (messages up to the last user turn) with several replies to it, all cut alike.
///
/// # Errors
/// As [`encode_sft`].
///
/// # Source
/// LLaMA-Factory ff6d4d1, `PairwiseDatasetProcessor._encode_data_example`, for any number of replies.
pub fn encode_replies(
    tokenizer: &Tokenizer,
    prompt: &[(String, String)],
    replies: &[String],
    images: &[i64],
    videos: &[i64],
    options: &SftOptions,
) -> Result<Vec<Encoded>, OpError> {
    let mut whole = prompt.to_vec();
    whole.push(("assistant".to_owned(), String::new()));
    let mut turns = turns(tokenizer, &whole, images, videos, options.system.as_deref())?;
    let (last, _) = turns.pop().unwrap_or_default();
    let mut source: Vec<i64> = turns.into_iter().flat_map(|(s, t)| [s, t].concat()).collect();
    source.extend(last);
    let close = tokenizer.chat.close()?;
    let replies = replies.iter().map(|r| tokenizer.ids(&format!("{r}{close}"))).collect::<Result<Vec<_>, _>>()?;
    let longest = replies.iter().map(Vec::len).max().unwrap_or(0);
    let (s, t) = infer_lengths(source.len(), longest, options.cutoff);
    let make = |reply: &Vec<i64>| {
        let kept = &reply[..t.min(reply.len())];
        Encoded {
            ids: [&source[..s], kept].concat(),
            labels: [&vec![IGNORE; s], kept].concat(),
            full_len: source.len() + longest,
        }
    };
    Ok(replies.iter().map(make).collect())
}

/// Returns how many of the first source and target tokens are kept when both must fit into `cutoff`.
///
/// # Source
/// `infer_seqlen` of LLaMA-Factory; equal to all rows of `tables.json`.
pub fn infer_lengths(source: usize, target: usize, cutoff: usize) -> (usize, usize) {
    let most = if target.saturating_mul(2) < cutoff {
        cutoff
    } else if source.saturating_mul(2) < cutoff {
        cutoff - source
    } else {
        (cutoff as f64 * (target as f64 / (source + target) as f64)) as usize
    };
    let target = most.min(target);
    (cutoff.saturating_sub(target).min(source), target)
}

/// The tokens of what is said to the model, and of its reply.
type Pair = (Vec<i64>, Vec<i64>);

fn turns<'a>(
    tokenizer: &Tokenizer,
    messages: &[(String, String)],
    mut images: &'a [i64],
    mut videos: &'a [i64],
    system: Option<&str>,
) -> Result<Vec<Pair>, OpError> {
    let (own_system, messages) = match messages.split_first() {
        Some((first, rest)) if first.0 == "system" => (Some(first.1.as_str()), rest),
        _ => (None, messages),
    };
    if messages.is_empty() || messages.len() % 2 != 0 {
        return Err(OpError::new(
            "E0612",
            format!("a conversation needs pairs of prompt and reply, not {} messages", messages.len()),
        ));
    }
    let mut turns = Vec::new();
    for (number, pair) in messages.chunks(2).enumerate() {
        let (ask, reply) = (&pair[0], &pair[1]);
        if reply.0 != "assistant" || ask.0 == "assistant" {
            return Err(OpError::new(
                "E0612",
                format!(
                    "turn {} has roles `{}` and `{}`, not a prompt and an assistant's reply",
                    number + 1,
                    ask.0,
                    reply.0
                ),
            ));
        }
        let text = mark(&ask.1, &mut images, &mut videos)?;
        turns.push(Turn { role: ask.0.clone(), text, reply: mark(&reply.1, &mut images, &mut videos)? });
    }
    if !images.is_empty() || !videos.is_empty() {
        return Err(OpError::new(
            "E0612",
            format!(
                "{} pictures and {} videos have no `<image>` or `<video>` marker in the text",
                images.len(),
                videos.len()
            ),
        ));
    }
    let ids = |said: Said| -> Result<Pair, OpError> {
        let source = said.source.iter().map(|piece| tokenizer.ids(piece)).collect::<Result<Vec<_>, _>>()?;
        Ok((source.concat(), tokenizer.ids(&said.target)?))
    };
    tokenizer.chat.said(system.or(own_system), &turns)?.into_iter().map(ids).collect()
}
