//! Reads `config.json`: of Qwen2.5-VL, in the flat layout of the hub and in the nested one of newer savers, and of decoders that
//! read text alone.

use std::path::Path;

use serde_json::Value as Json;

use crate::base::OpError;

/// The shape of the text decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding.
    pub vocab: i64,
    /// Width of a token.
    pub hidden: i64,
    /// Width inside the MLP.
    pub intermediate: i64,
    /// Decoder blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: i64,
    /// Added to the mean square in RMSNorm.
    pub eps: f64,
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// Rotary channels (of half a head) that turn with time, height and width.
    pub sections: [i64; 3],
    /// How Llama 3.1 and later stretch the slow rotary frequencies.
    pub stretch: Option<Stretch>,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Longest position that the model was made for.
    pub max_positions: i64,
}

impl TextConfig {
    /// Returns the width of one head.
    pub fn head_width(&self) -> i64 {
        self.hidden / self.heads
    }
}

/// Llama 3's scaling of rotary frequencies: those that turn less than `low` times within the old context become `factor` times slower,
/// those that turn more than `high` times stay, and between them it changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Times slower.
    pub factor: f64,
    /// Turns.
    pub low: f64,
    /// Turns.
    pub high: f64,
    /// Positions that the model was first made for.
    pub context: f64,
}

/// The shape of the vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of a patch.
    pub hidden: i64,
    /// Width inside the MLP.
    pub intermediate: i64,
    /// Attention heads.
    pub heads: i64,
    /// Colour channels.
    pub channels: i64,
    /// Side of a patch in pixels.
    pub patch: i64,
    /// Frames per patch.
    pub temporal: i64,
    /// Patches per side of one LLM token.
    pub merge: i64,
    /// Side of an attention window in pixels.
    pub window: i64,
    /// Blocks that attend over the whole frame.
    pub full_blocks: Vec<usize>,
    /// Rotary positions per second of video.
    pub tokens_per_second: i64,
    /// Width of the merged output: the text width.
    pub out: i64,
}

impl VisionConfig {
    /// Returns the values in one flattened patch: channels x frames x side x side.
    pub fn patch_values(&self) -> i64 {
        self.channels * self.temporal * self.patch * self.patch
    }

    /// Returns the side of a window in LLM tokens.
    pub fn window_units(&self) -> i64 {
        self.window / self.merge / self.patch
    }
}

/// The id that no token has: what a decoder of text alone has for placeholders of pictures.
const NO_TOKEN: i64 = -1;

/// The shape of a Qwen2.5-VL, or of a decoder that reads text alone, and its special ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The text decoder.
    pub text: TextConfig,
    /// The vision tower; none for a model that reads text alone.
    pub vision: Option<VisionConfig>,
    /// Whether the output layer is the embedding.
    pub tied: bool,
    /// Placeholder of one image token; like the other three -1, which no token is, where there is no vision tower.
    pub image_id: i64,
    /// Placeholder of one video token.
    pub video_id: i64,
    /// Opens an image or video.
    pub vision_start_id: i64,
    /// Closes an image or video.
    pub vision_end_id: i64,
    /// Ends a reply; absent in some files.
    pub eos_id: Option<i64>,
    /// Standard deviation of fresh matrices: `initializer_range`, 0.02 where the file names none.
    pub deviation: f64,
}

impl Config {
    /// Reads `config.json` of a folder.
    ///
    /// # Errors
    /// `E0501` when it is absent, `E0503` when it is of another family or a key is missing or odd; the message names the key.
    pub fn load(dir: &Path) -> Result<Self, OpError> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            OpError::new("E0501", format!("{}: {e}", path.display()))
                .help("the folder must hold a model in Hugging Face layout")
        })?;
        let json =
            serde_json::from_str(&text).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))?;
        Self::from_json(&json)
    }

    /// Reads the parsed file.
    ///
    /// # Errors
    /// `E0503`, naming the key.
    pub fn from_json(json: &Json) -> Result<Self, OpError> {
        let family = json.get("model_type").and_then(Json::as_str).unwrap_or("");
        if !["qwen2_5_vl", "qwen2", "llama"].contains(&family) {
            return Err(odd("model_type", &format!("is `{family}`; known are `qwen2_5_vl`, `qwen2` and `llama`")));
        }
        let sees = family == "qwen2_5_vl";
        let text_json = json.get("text_config").unwrap_or(json);
        let text = Self::text(text_json, family)?;
        let vision = if sees {
            let vision = json.get("vision_config").ok_or_else(|| missing("vision_config"))?;
            Some(Self::vision(vision, text.hidden)?)
        } else {
            None
        };
        let anywhere = |key: &str| json.get(key).or_else(|| text_json.get(key));
        let id = |key: &str| match sees {
            true => anywhere(key).and_then(Json::as_i64).ok_or_else(|| missing(key)),
            false => Ok(NO_TOKEN),
        };
        let eos = anywhere("eos_token_id");
        Ok(Self {
            text,
            vision,
            tied: anywhere("tie_word_embeddings").and_then(Json::as_bool).unwrap_or(false),
            image_id: id("image_token_id")?,
            video_id: id("video_token_id")?,
            vision_start_id: id("vision_start_token_id")?,
            vision_end_id: id("vision_end_token_id")?,
            eos_id: eos.and_then(|e| e.as_i64().or_else(|| e.get(0).and_then(Json::as_i64))),
            deviation: anywhere("initializer_range").and_then(Json::as_f64).unwrap_or(0.02),
        })
    }

    fn text(json: &Json, family: &str) -> Result<TextConfig, OpError> {
        let int = |key: &str| json.get(key).and_then(Json::as_i64).ok_or_else(|| missing(key));
        let float = |key: &str| json.get(key).and_then(Json::as_f64).ok_or_else(|| missing(key));
        for key in ["use_sliding_window", "attention_bias", "mlp_bias"] {
            if json.get(key).and_then(Json::as_bool) == Some(true) {
                return Err(odd(key, "is true, which is not supported"));
            }
        }
        let (hidden, heads) = (int("hidden_size")?, int("num_attention_heads")?);
        if let Some(width) =
            json.get("head_dim").and_then(Json::as_i64).filter(|w| w.checked_mul(heads) != Some(hidden))
        {
            return Err(odd("head_dim", &format!("is {width}, and {heads} heads of it are not hidden_size {hidden}")));
        }
        let (sections, stretch) = match family {
            "qwen2_5_vl" => (sections(json)?, None),
            _ => ([hidden / heads.max(1) / 2, 0, 0], stretch(json)?),
        };
        let text = TextConfig {
            vocab: int("vocab_size")?,
            hidden,
            intermediate: int("intermediate_size")?,
            layers: usize::try_from(int("num_hidden_layers")?).map_err(|_| odd("num_hidden_layers", "is negative"))?,
            heads,
            kv_heads: int("num_key_value_heads")?,
            eps: float("rms_norm_eps")?,
            theta: float("rope_theta")
                .or_else(|e| json.pointer("/rope_parameters/rope_theta").and_then(Json::as_f64).ok_or(e))?,
            sections,
            stretch,
            qkv_bias: family != "llama",
            max_positions: int("max_position_embeddings")?,
        };
        if text.heads <= 0 || text.kv_heads <= 0 || text.heads % text.kv_heads != 0 || text.hidden % text.heads != 0 {
            return Err(odd(
                "num_attention_heads",
                &format!(
                    "{} does not divide {} or is no multiple of num_key_value_heads {}",
                    text.heads, text.hidden, text.kv_heads
                ),
            ));
        }
        if sections.iter().sum::<i64>() * 2 != text.head_width() {
            return Err(odd(
                "mrope_section",
                &format!("{sections:?} does not add up to half the head width {}", text.head_width()),
            ));
        }
        Ok(text)
    }

    fn vision(json: &Json, text_hidden: i64) -> Result<VisionConfig, OpError> {
        let int =
            |key: &str| json.get(key).and_then(Json::as_i64).ok_or_else(|| missing(&format!("vision_config.{key}")));
        let blocks = json
            .get("fullatt_block_indexes")
            .and_then(Json::as_array)
            .ok_or_else(|| missing("vision_config.fullatt_block_indexes"))?;
        let vision = VisionConfig {
            depth: usize::try_from(int("depth")?).map_err(|_| odd("vision_config.depth", "is negative"))?,
            hidden: int("hidden_size")?,
            intermediate: int("intermediate_size")?,
            heads: int("num_heads")?,
            channels: int("in_chans").or_else(|_| int("in_channels"))?,
            patch: int("patch_size").or_else(|_| int("spatial_patch_size"))?,
            temporal: int("temporal_patch_size")?,
            merge: int("spatial_merge_size")?,
            window: int("window_size")?,
            full_blocks: blocks.iter().filter_map(Json::as_u64).filter_map(|b| usize::try_from(b).ok()).collect(),
            tokens_per_second: int("tokens_per_second")?,
            out: int("out_hidden_size")?,
        };
        if vision.out != text_hidden {
            return Err(odd(
                "vision_config.out_hidden_size",
                &format!("is {}, but hidden_size is {text_hidden}", vision.out),
            ));
        }
        if vision.heads <= 0 || vision.hidden % (vision.heads * 4) != 0 || vision.window_units() < 1 {
            return Err(odd("vision_config", "has a head width that is no multiple of 4, or a window under one token"));
        }
        Ok(vision)
    }
}

/// Reads how many rotary channels turn with time, height and width.
fn sections(json: &Json) -> Result<[i64; 3], OpError> {
    let sections = json
        .get("rope_scaling")
        .or_else(|| json.get("rope_parameters"))
        .and_then(|r| r.get("mrope_section"))
        .and_then(Json::as_array)
        .ok_or_else(|| missing("rope_scaling.mrope_section"))?;
    let sections: Vec<i64> = sections.iter().filter_map(Json::as_i64).collect();
    sections.try_into().map_err(|s: Vec<i64>| odd("mrope_section", &format!("has {} entries, not 3", s.len())))
}

/// Reads how the rotary frequencies of a decoder of text are scaled.
fn stretch(json: &Json) -> Result<Option<Stretch>, OpError> {
    let Some(rope) = ["rope_scaling", "rope_parameters"].iter().find_map(|key| json.get(key).filter(|r| r.is_object()))
    else {
        return Ok(None);
    };
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Json::as_str).unwrap_or("default");
    let number = |key: &str| {
        let found = rope.get(key).and_then(Json::as_f64).filter(|x| *x > 0.0);
        found.ok_or_else(|| missing(&format!("rope_scaling.{key}")))
    };
    match kind {
        "default" => Ok(None),
        "llama3" => Ok(Some(Stretch {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            context: number("original_max_position_embeddings")?,
        })),
        _ => Err(odd("rope_scaling", &format!("is of type `{kind}`; `default` and `llama3` are supported"))),
    }
}

fn missing(key: &str) -> OpError {
    OpError::new("E0503", format!("config.json: `{key}` is missing"))
}

fn odd(key: &str, what: &str) -> OpError {
    OpError::new("E0503", format!("config.json: `{key}` {what}"))
}
