//! Turns text rows into ids, labels and pictures: rows in parallel, each distinct picture once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::examples::{Example, Gallery, Packed};
use super::micro::label_count;
use super::rows::{Medium, TextRow};
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::pictures::{media, video};
use crate::model::collate::{IGNORE, Pixels, Sample};
use crate::model::encode::{self, SftOptions, encode_replies, encode_sft};
use crate::model::positions::BLIND;
use crate::model::processor::{PixelLimits, regularize};
use crate::model::template::{IMAGE, VIDEO};
use crate::model::{Chat, Config, Picture, Processor, Tokenizer};

/// What bounds an encoded row.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest encoded row, in tokens.
    pub cutoff: usize,
    /// Longer rows are dropped, not cut.
    pub drop_long: bool,
    /// The last reply of a conversation alone is learned.
    pub history: bool,
    /// System prompt instead of the template's.
    pub system: Option<String>,
    /// Least and most pixels of an image before the model's processor.
    pub pixels: (Option<u64>, Option<u64>),
    /// Least and most pixels of a video frame.
    pub video_pixels: (Option<u64>, Option<u64>),
    /// Fewest and most frames of a video.
    pub frames: (Option<u64>, Option<u64>),
    /// Frames taken per second of video.
    pub fps: f64,
}

impl Default for Limits {
    /// The defaults of `train.sft`, with room for long replies.
    fn default() -> Self {
        Self {
            cutoff: 8192,
            drop_long: false,
            history: false,
            system: None,
            pixels: (Some(1024), Some(589_824)),
            video_pixels: (Some(256), Some(65_536)),
            frames: (Some(4), Some(128)),
            fps: 2.0,
        }
    }
}

/// One row, encoded: one example per reply.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Which of the given rows.
    pub row: usize,
    /// One per reply, in order.
    pub examples: Vec<Example>,
    /// How long it was, in tokens, if it was longer than the cutoff and has been cut.
    pub cut: Option<usize>,
}

/// What [`Encoder::encode`] gives: encoded rows in order, their pictures, and the rows that are lost with the reason.
pub type EncodedRows = (Vec<Encoded>, Gallery, Vec<(usize, String)>);

/// Encodes rows for one model.
pub struct Encoder {
    tokenizer: Tokenizer,
    /// None for a model that reads text alone.
    processor: Option<Processor>,
    /// Sizes to which pictures are brought before the processor's own.
    before: PixelLimits,
    /// Sizes to which frames of videos are brought.
    frame: PixelLimits,
    config: Config,
    /// What bounds a row.
    pub limits: Limits,
}

impl Encoder {
    /// Reads tokenizer and processor of a model folder.
    ///
    /// # Errors
    /// `E0501` when a file is absent, `E0503` when it cannot be read.
    pub fn open(folder: &Path, config: &Config, limits: Limits) -> Result<Self, OpError> {
        let within = |(least, most): (Option<u64>, Option<u64>)| PixelLimits {
            max: most.map_or(usize::MAX, |most| most as usize),
            min: least.map_or(1, |least| least as usize),
        };
        Ok(Self {
            tokenizer: Tokenizer::load(folder)?,
            processor: config.vision.as_ref().map(|_| Processor::load(folder)).transpose()?,
            before: within(limits.pixels),
            frame: within(limits.video_pixels),
            config: config.clone(),
            limits,
        })
    }

    /// Makes conversations text by another template than the model's own.
    pub fn speak(&mut self, chat: Chat) {
        self.tokenizer.chat = chat;
    }

    /// Returns the id that fills rows.
    pub fn pad(&self) -> i64 {
        self.tokenizer.pad_id
    }

    /// Encodes rows, in parallel; each distinct picture is read and resized once.
    ///
    /// # Errors
    /// When the store cannot be read; what is wrong with a row is a lost row.
    pub fn encode(
        &self,
        rows: &[TextRow],
        blobs: &dyn Blobs,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<EncodedRows, OpError> {
        let all = shown(rows);
        let packed = self.packed(&all, blobs, &|done| told(done * rows.len() / all.len().max(1)))?;
        self.encode_with(rows, all, packed, told)
    }

    /// Reads and resizes pictures and videos, in parallel; `told` hears how many are done.
    ///
    /// # Errors
    /// `E0501` when there are videos and nothing that decodes them; what is wrong with one is told in its place.
    pub fn packed(
        &self,
        all: &[Shown],
        blobs: &dyn Blobs,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Result<Packed, String>>, OpError> {
        if all.iter().any(|shown| matches!(shown, Shown::Video(film) if film.iter().any(Medium::is_video))) {
            video::decoder()?;
        }
        let gallery = Gallery::new(self.config.vision.as_ref());
        let mut made: Vec<Result<Packed, String>> = Vec::with_capacity(all.len());
        // In parts, so that no more than a part's pixels exist as f32 at a time.
        for part in all.chunks(256) {
            made.par_extend(part.par_iter().map(|shown| Ok(gallery.packed(self.pixels(shown, blobs)?))));
            told(made.len());
        }
        Ok(made)
    }

    /// As [`Self::encode`], with what rows show read already: [`shown`] by the rows, in this order.
    ///
    /// # Errors
    /// When the tokenizer refuses a label.
    pub fn encode_with(
        &self,
        rows: &[TextRow],
        all: Vec<Shown>,
        packed: Vec<Result<Packed, String>>,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<EncodedRows, OpError> {
        let mut gallery = Gallery::new(self.config.vision.as_ref());
        let numbered = packed.into_iter().map(|packed| packed.map(|p| gallery.add(p)));
        let numbers: BTreeMap<Shown, Result<usize, String>> = all.into_iter().zip(numbered).collect();
        let labels = self.labels(rows)?;
        let known = Known { numbers, cells: cells(rows, &labels), labels };
        let encoded: Vec<Result<Encoded, String>> =
            rows.par_iter().enumerate().map(|(i, row)| self.row(i, row, &known, &gallery)).collect();
        let (mut kept, mut lost) = (Vec::new(), Vec::new());
        for (i, encoded) in encoded.into_iter().enumerate() {
            match encoded {
                Ok(encoded) => kept.push(encoded),
                Err(why) => lost.push((i, why)),
            }
        }
        told(rows.len());
        Ok((kept, gallery, lost))
    }

    fn pixels(&self, shown: &Shown, blobs: &dyn Blobs) -> Result<Pixels, String> {
        let processor = self.processor.as_ref().ok_or_else(|| BLIND.to_owned())?;
        match shown {
            Shown::Image(medium) if medium.is_video() => {
                Err(format!("a video ({}) stands where a picture is read: name its column `video`", medium.media))
            }
            Shown::Image(medium) => processor.image(&picture(medium, self.before, blobs)?).map_err(said),
            Shown::Video(film) => {
                let (frames, fps) = self.film(film, blobs)?;
                processor.video(&frames, fps).map_err(said)
            }
        }
    }

    /// Returns the frames of a video that the model is shown, and how many they are a second.
    fn film(&self, film: &[Medium], blobs: &dyn Blobs) -> Result<(Vec<Picture>, f64), String> {
        let Limits { frames: (least, most), fps, .. } = self.limits;
        let (least, most) = (least.unwrap_or(1) as usize, most.map_or(usize::MAX, |most| most as usize));
        let [file] = film else {
            // Frames that are given stand `fps` a second, and all are shown as far as there is room.
            let count = film.len().min(most.max(1));
            let frames = video::evenly(film.len(), count).into_iter().map(|i| picture(&film[i], self.frame, blobs));
            return Ok((frames.collect::<Result<_, _>>()?, fps * count as f64 / film.len().max(1) as f64));
        };
        if !file.is_video() {
            return Ok((vec![picture(file, self.frame, blobs)?], fps));
        }
        let told = |why: String| format!("the video {why}");
        let path = blobs.file(digest(file)?).map_err(said)?;
        let facts = video::facts(&path).map_err(told)?;
        let (at, fps) = video::shown(facts.frames, facts.rate, fps, least, most);
        let frame = |png: &Vec<u8>| regularize(&Picture::decode(png)?, self.frame);
        let frames = video::frames(&path, &at).map_err(told)?;
        Ok((frames.iter().map(frame).collect::<Result<_, _>>().map_err(said)?, fps))
    }

    fn row(&self, number: usize, row: &TextRow, known: &Known, gallery: &Gallery) -> Result<Encoded, String> {
        let find = |shown: Shown| known.numbers.get(&shown).cloned().unwrap_or_else(|| Err("picture not read".into()));
        let images = row.images.iter().cloned().map(Shown::Image).map(find).collect::<Result<Vec<_>, _>>()?;
        let videos = row.videos.iter().cloned().map(Shown::Video).map(find).collect::<Result<Vec<_>, _>>()?;
        let merge = self.config.vision.as_ref().map_or(1, |vision| vision.merge);
        let units = |number: &usize| gallery.grid(*number).iter().product::<i64>() / (merge * merge);
        let tokens = |numbers: &[usize]| numbers.iter().map(units).collect::<Vec<i64>>();
        let (image_tokens, video_tokens) = (tokens(&images), tokens(&videos));
        let made = self.encoded(row, &image_tokens, &video_tokens)?;
        let whole = made.iter().map(|e| e.full_len).max().unwrap_or(0);
        let cut = whole > self.limits.cutoff;
        let limit = format!("{whole} tokens are more than the cutoff {}", self.limits.cutoff);
        if cut && self.limits.drop_long {
            return Err(limit);
        }
        let words = self.config.text.vocab;
        if let Some(id) = made.iter().flat_map(|e| &e.ids).find(|id| !(0..words).contains(*id)) {
            let text = self.tokenizer.text(&[*id], false).unwrap_or_default();
            return Err(format!("token {id} (`{text}`) is none of the {words} that the model's embedding has"));
        }
        let media: i64 = image_tokens.iter().chain(&video_tokens).sum();
        let shown = |e: &encode::Encoded| {
            let visual = |id: &&i64| **id == self.config.image_id || **id == self.config.video_id;
            e.ids.iter().filter(visual).count() as i64
        };
        if made.iter().any(|e| shown(e) != media) {
            let own = "the text holds picture tokens of its own: pictures are placed with `<image>`".to_owned();
            return Err(if cut { format!("{limit}, and the cut would go through a picture") } else { own });
        }
        let cells = row.cells.as_ref().map(|texts| known.cells(texts, image_tokens.iter().sum::<i64>() as usize));
        let cells = cells.transpose()?;
        let phrases = if row.images.is_empty() { Vec::new() } else { self.phrases(row, known)? };
        let example = |made: encode::Encoded| {
            let prompt = made.labels.iter().position(|&label| label != IGNORE).unwrap_or(made.ids.len());
            let last = made.ids[..prompt].iter().rposition(|&id| id == self.config.vision_end_id);
            let sample = Sample { name: row.name.clone(), ids: made.ids, labels: made.labels, ..Sample::default() };
            let shared = last.map_or(0, |last| last + 1);
            let said = phrases.iter().filter(|(at, _)| shared + at < prompt);
            let phrases = said.map(|(at, label)| (shared + at, label.clone())).collect();
            Example { sample, images: images.clone(), videos: videos.clone(), shared, cells: cells.clone(), phrases }
        };
        let examples: Vec<Example> = made.into_iter().map(example).collect();
        if examples.iter().any(|e| label_count(&e.sample) == 0) {
            return Err(format!("no token of the reply is left within {} tokens", self.limits.cutoff));
        }
        Ok(Encoded { row: number, examples, cut: cut.then_some(whole) })
    }

    /// Returns ids and labels of a row, for each of its replies.
    fn encoded(&self, row: &TextRow, images: &[i64], videos: &[i64]) -> Result<Vec<encode::Encoded>, String> {
        let options = SftOptions {
            cutoff: self.limits.cutoff,
            mask_history: self.limits.history,
            system: row.system.clone().or_else(|| self.limits.system.clone()),
            ..SftOptions::default()
        };
        let mut messages = row.messages.clone();
        place_media(&mut messages, images.len(), videos.len());
        match &row.replies[..] {
            [] => return Err("the conversation does not end with a reply".to_owned()),
            [reply] if messages.len() > 1 => {
                messages.push(("assistant".to_owned(), reply.clone()));
                encode_sft(&self.tokenizer, &messages, images, videos, &options).map(|made| vec![made])
            }
            replies => encode_replies(&self.tokenizer, &messages, replies, images, videos, &options),
        }
        .map_err(said)
    }

    /// Returns for each phrase that stands in the prompt after its last picture its last token, counted from there, and the tokens of its label.
    fn phrases(&self, row: &TextRow, known: &Known) -> Result<Vec<(usize, Vec<i64>)>, String> {
        let Some((_, text)) = row.messages.last().filter(|_| !row.phrases.is_empty()) else { return Ok(Vec::new()) };
        let text = text.rsplit(IMAGE).next().unwrap_or_default();
        let ends = self.tokenizer.ends(text).map_err(said)?;
        let whole = |end: usize| !text[end..].starts_with(char::is_alphanumeric);
        let place = |phrase: &str| {
            let mut places = text.match_indices(phrase).map(|(at, _)| at + phrase.len());
            let end = places.find(|&end| whole(end))?;
            ends.iter().position(|&token| token >= end)
        };
        let found = row.phrases.iter().filter(|(phrase, _)| !phrase.is_empty());
        let placed = found.filter_map(|(phrase, label)| Some((place(phrase)?, label)));
        Ok(placed.map(|(at, label)| (at, known.label(label))).collect())
    }

    /// Returns the tokens of each different text that is a label, as it stands inside a sentence: after a blank.
    fn labels(&self, rows: &[TextRow]) -> Result<BTreeMap<String, Vec<i64>>, OpError> {
        let of_row = |row: &TextRow| {
            let cells = row.cells.iter().flat_map(|cells| cells.iter());
            cells.chain(row.phrases.iter().map(|(_, label)| label)).cloned().collect::<BTreeSet<String>>()
        };
        let texts = rows.par_iter().map(of_row).reduce(BTreeSet::new, |a, b| {
            let (mut large, small) = if a.len() < b.len() { (b, a) } else { (a, b) };
            large.extend(small);
            large
        });
        let ids = |text: String| {
            let ids = if text.is_empty() { Vec::new() } else { self.tokenizer.ids(&format!(" {text}"))? };
            Ok((text, ids))
        };
        texts.into_iter().map(ids).collect()
    }
}

/// Something that is read once for all rows that show it; pictures come before videos.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// A picture.
    Image(Medium),
    /// A video: its file, or its frames.
    Video(Vec<Medium>),
}

/// Returns what rows show, each once, in an order that hangs on nothing else.
pub fn shown(rows: &[TextRow]) -> Vec<Shown> {
    let images = rows.iter().flat_map(|r| r.images.iter().cloned().map(Shown::Image));
    let videos = rows.iter().flat_map(|r| r.videos.iter().cloned().map(Shown::Video));
    images.chain(videos).collect::<BTreeSet<Shown>>().into_iter().collect()
}

/// Decodes a picture and brings it within limits.
fn picture(medium: &Medium, limits: PixelLimits, blobs: &dyn Blobs) -> Result<Picture, String> {
    let (_, picture) = media::decode(&blobs.get(digest(medium)?).map_err(said)?)?;
    regularize(&Picture::from_image(picture), limits).map_err(said)
}

fn digest(medium: &Medium) -> Result<Digest, String> {
    Digest::parse(&medium.digest).ok_or_else(|| format!("`{}` is no picture", medium.digest))
}

/// What rows have in common.
struct Known {
    /// Where each picture lies in the gallery, or why it does not.
    numbers: BTreeMap<Shown, Result<usize, String>>,
    /// Tokens of labels by text.
    labels: BTreeMap<String, Vec<i64>>,
    /// Tokens of the cells of each picture, by where their texts lie: rows about one picture share them.
    cells: HashMap<usize, Arc<Vec<Vec<i64>>>>,
}

impl Known {
    fn label(&self, text: &str) -> Vec<i64> {
        self.labels.get(text).cloned().unwrap_or_default()
    }

    /// Returns the tokens of each cell's text, as many as a picture has tokens.
    fn cells(&self, texts: &Arc<Vec<String>>, tokens: usize) -> Result<Arc<Vec<Vec<i64>>>, String> {
        let made = self.cells.get(&place(texts)).filter(|made| made.len() == tokens);
        made.cloned().ok_or_else(|| format!("{} texts for {tokens} image tokens", texts.len()))
    }
}

/// Returns the tokens of the cells of each picture.
fn cells(rows: &[TextRow], labels: &BTreeMap<String, Vec<i64>>) -> HashMap<usize, Arc<Vec<Vec<i64>>>> {
    let distinct: HashMap<usize, &Arc<Vec<String>>> =
        rows.iter().filter_map(|row| row.cells.as_ref()).map(|texts| (place(texts), texts)).collect();
    let tokens = |text: &String| labels.get(text).cloned().unwrap_or_default();
    let made = |(place, texts): (usize, &Arc<Vec<String>>)| (place, Arc::new(texts.iter().map(tokens).collect()));
    distinct.into_par_iter().map(made).collect()
}

fn place(texts: &Arc<Vec<String>>) -> usize {
    Arc::as_ptr(texts).addr()
}

/// Puts a marker for each picture and video before the conversation where no message has one.
fn place_media(messages: &mut [(String, String)], images: usize, videos: usize) {
    for (marker, count) in [(VIDEO, videos), (IMAGE, images)] {
        if messages.iter().all(|(_, text)| !text.contains(marker))
            && let Some((_, first)) = messages.first_mut()
        {
            first.insert_str(0, &marker.repeat(count));
        }
    }
}

fn said(e: OpError) -> String {
    e.message
}
