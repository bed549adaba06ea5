//! Embeddings of vendors that have formats of their own: a client's request as bodies of batches, and their answers as one response in
//! the client's format. Takes texts only. Must never change the order of the vectors or write a digit that the vendor did not send.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dialect::decoded_response::{IncompleteResponse, parse_object};
use crate::dialect::request::{Request, invalid_field, typed};
use crate::domain::api_error::ApiError;

/// Wire format of a vendor's embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingFormat {
    /// Google's `batchEmbedContents`
    GeminiBatch,
    /// Cohere's `/v2/embed`
    CohereV2,
    /// Amazon Titan in InvokeModel
    TitanInvoke,
    /// Cohere's models in InvokeModel
    CohereInvoke,
}

impl EmbeddingFormat {
    /// Member of the body that lists the texts, whose length the vendor bounds; `None`: one text a call.
    pub fn list_field(self) -> Option<&'static str> {
        match self {
            EmbeddingFormat::GeminiBatch => Some("requests"),
            EmbeddingFormat::CohereV2 | EmbeddingFormat::CohereInvoke => Some("texts"),
            EmbeddingFormat::TitanInvoke => None,
        }
    }

    /// Member of the client's request that the vendor takes beside those of the dialect.
    fn own_member(self) -> Option<&'static str> {
        match self {
            EmbeddingFormat::GeminiBatch => Some("task_type"),
            EmbeddingFormat::CohereV2 | EmbeddingFormat::CohereInvoke => Some("input_type"),
            EmbeddingFormat::TitanInvoke => None,
        }
    }

    /// Cohere wants a purpose of each text.
    fn default_purpose(self) -> Option<&'static str> {
        match self {
            EmbeddingFormat::CohereV2 | EmbeddingFormat::CohereInvoke => Some("search_document"),
            EmbeddingFormat::GeminiBatch | EmbeddingFormat::TitanInvoke => None,
        }
    }

    /// Models of these names have vectors of one length.
    fn has_fixed_length(self, model: &str) -> bool {
        match self {
            EmbeddingFormat::GeminiBatch => false,
            EmbeddingFormat::TitanInvoke => model.contains("text-v1") || model.contains("g1-text"),
            EmbeddingFormat::CohereV2 | EmbeddingFormat::CohereInvoke => model.contains("-v3"),
        }
    }
}

/// A client's request for embeddings of texts.
#[derive(Clone, Debug)]
pub struct EmbeddingRequest {
    format: EmbeddingFormat,
    model: String,
    texts: Vec<String>,
    dimensions: Option<u64>,
    /// purpose of the embeddings, in the vendor's words
    purpose: Option<String>,
    is_base64: bool,
    /// members that the vendor receives not at all
    pub dropped: Vec<String>,
}

/// Answer of a vendor to one batch.
#[derive(Debug)]
pub struct EmbeddedBatch {
    vectors: Vec<Box<RawValue>>,
    /// input tokens, if the body reports them
    pub input_tokens: Option<u64>,
}

impl EmbeddingRequest {
    /// Reads the request for the vendor's model, whose name is `model` upstream. Refuses token ids, which only the dialect's author
    /// reads.
    pub fn decode(
        request: &Request,
        format: EmbeddingFormat,
        model: &str,
    ) -> Result<EmbeddingRequest, ApiError> {
        let dimensions: Option<u64> = typed(request, "dimensions")?;
        if dimensions.is_some() && format.has_fixed_length(model) {
            let what = format!("is not taken by {model}; leave it out or use another model");
            return Err(invalid_field("dimensions", &what));
        }
        let encoding: Option<String> = typed(request, "encoding_format")?;
        let is_base64 = match encoding.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => {
                let what = "is unknown; use float or base64";
                return Err(invalid_field("encoding_format", what));
            }
        };
        let own = format.own_member();
        let purpose = own.map(|member| typed(request, member)).transpose()?;
        let known = ["model", "input", "dimensions", "encoding_format"];
        let others = request.member_names();
        let others = others.filter(|name| !known.contains(name) && own != Some(*name));
        let purpose: Option<Option<String>> = purpose;
        Ok(EmbeddingRequest {
            format,
            model: model.to_owned(),
            texts: texts(request, model)?,
            dimensions,
            purpose: purpose
                .flatten()
                .or_else(|| format.default_purpose().map(str::to_owned)),
            is_base64,
            dropped: others.map(str::to_owned).collect(),
        })
    }

    pub fn text_count(&self) -> usize {
        self.texts.len()
    }

    /// Bodies of batches of at most `batch_max` texts, in order, each with the number of its texts.
    pub fn batches(&self, batch_max: usize) -> Vec<(String, usize)> {
        let batches = self.texts.chunks(batch_max.max(1));
        let bodies = batches.map(|texts| (self.body(texts).to_string(), texts.len()));
        bodies.collect()
    }

    fn body(&self, texts: &[String]) -> Value {
        let mut body = match self.format {
            EmbeddingFormat::GeminiBatch => {
                let requests: Vec<Value> = texts.iter().map(|text| self.of_gemini(text)).collect();
                return json!({"requests": requests});
            }
            EmbeddingFormat::TitanInvoke => json!({"inputText": texts.first()}),
            EmbeddingFormat::CohereInvoke => {
                json!({"texts": texts, "input_type": self.purpose, "embedding_types": ["float"]})
            }
            EmbeddingFormat::CohereV2 => {
                json!({"model": self.model, "texts": texts, "input_type": self.purpose, "embedding_types": ["float"]})
            }
        };
        if let Some(dimensions) = self.dimensions {
            let name = match self.format {
                EmbeddingFormat::TitanInvoke => "dimensions",
                _ => "output_dimension",
            };
            body[name] = json!(dimensions);
        }
        body
    }

    fn of_gemini(&self, text: &str) -> Value {
        let content = json!({"parts": [{"text": text}]});
        let mut request = json!({"model": format!("models/{}", self.model), "content": content});
        if let Some(dimensions) = self.dimensions {
            request["outputDimensionality"] = json!(dimensions);
        }
        if let Some(purpose) = &self.purpose {
            request["taskType"] = json!(purpose);
        }
        request
    }

    /// Reads the answer to a batch.
    pub fn decode_batch(&self, body: &[u8]) -> Result<EmbeddedBatch, IncompleteResponse> {
        match self.format {
            EmbeddingFormat::GeminiBatch => parse_object::<GeminiAnswer>(body).map(Into::into),
            EmbeddingFormat::TitanInvoke => parse_object::<TitanAnswer>(body).map(Into::into),
            EmbeddingFormat::CohereV2 | EmbeddingFormat::CohereInvoke => {
                parse_object::<CohereAnswer>(body).map(Into::into)
            }
        }
    }

    /// The response to the client. `None` if a vector is none.
    pub fn encode_response(&self, batches: &[EmbeddedBatch], input_tokens: u64) -> Option<String> {
        let vectors = batches.iter().flat_map(|batch| &batch.vectors);
        let mut data = String::from("[");
        for (index, vector) in vectors.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let embedding = match self.is_base64 {
                true => base64_of(vector)?,
                false => vector.get().to_owned(),
            };
            data += &format!(
                r#"{comma}{{"object":"embedding","index":{index},"embedding":{embedding}}}"#
            );
        }
        let (model, usage) = (
            json!(self.model),
            json!({"prompt_tokens": input_tokens, "total_tokens": input_tokens}),
        );
        Some(format!(
            r#"{{"object":"list","data":{data}],"model":{model},"usage":{usage}}}"#
        ))
    }
}

impl EmbeddedBatch {
    pub fn vector_count(&self) -> usize {
        self.vectors.len()
    }
}

/// Texts of `input`.
fn texts(request: &Request, model: &str) -> Result<Vec<String>, ApiError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Input {
        One(String),
        Many(Vec<String>),
    }
    let input = request.member("input").unwrap_or_default();
    match serde_json::from_str(input) {
        Ok(Input::One(text)) => Ok(vec![text]),
        Ok(Input::Many(texts)) => Ok(texts),
        Err(_) => {
            let what = format!("has token ids, which {model} does not read; send texts");
            Err(invalid_field("input", &what))
        }
    }
}

/// Floats of 32 bits in little-endian order, as the dialect's author encodes them; quoted.
fn base64_of(vector: &RawValue) -> Option<String> {
    let numbers: Vec<f32> = serde_json::from_str(vector.get()).ok()?;
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    Some(format!("\"{}\"", STANDARD.encode(bytes)))
}

#[derive(Deserialize)]
struct GeminiAnswer {
    embeddings: Vec<GeminiVector>,
    #[serde(rename = "usageMetadata")]
    usage: Option<GeminiUsage>,
}

#[derive(Deserialize)]
struct GeminiVector {
    values: Box<RawValue>,
}

#[derive(Deserialize)]
struct GeminiUsage {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<u64>,
}

impl From<GeminiAnswer> for EmbeddedBatch {
    fn from(answer: GeminiAnswer) -> EmbeddedBatch {
        let vectors = answer.embeddings.into_iter().map(|vector| vector.values);
        EmbeddedBatch {
            vectors: vectors.collect(),
            input_tokens: answer.usage.and_then(|usage| usage.prompt),
        }
    }
}

#[derive(Deserialize)]
struct TitanAnswer {
    embedding: Box<RawValue>,
    #[serde(rename = "inputTextTokenCount")]
    input_tokens: Option<u64>,
}

impl From<TitanAnswer> for EmbeddedBatch {
    fn from(answer: TitanAnswer) -> EmbeddedBatch {
        EmbeddedBatch {
            vectors: vec![answer.embedding],
            input_tokens: answer.input_tokens,
        }
    }
}

#[derive(Deserialize)]
struct CohereAnswer {
    /// by type, or alone, as the third generation answers in InvokeModel
    embeddings: Box<RawValue>,
    meta: Option<CohereMeta>,
}

#[derive(Deserialize)]
struct VectorsByType {
    float: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct CohereMeta {
    billed_units: Option<BilledUnits>,
}

#[derive(Deserialize)]
struct BilledUnits {
    input_tokens: Option<f64>,
}

impl From<CohereAnswer> for EmbeddedBatch {
    fn from(answer: CohereAnswer) -> EmbeddedBatch {
        let json = answer.embeddings.get();
        // a list of one vector would be read as the one member of the struct
        let vectors = match json.starts_with('{') {
            true => serde_json::from_str(json).map(|VectorsByType { float }| float),
            false => serde_json::from_str(json),
        };
        let billed = answer.meta.and_then(|meta| meta.billed_units);
        let tokens = billed.and_then(|billed| billed.input_tokens);
        EmbeddedBatch {
            // no vectors: their number is checked
            vectors: vectors.unwrap_or_default(),
            input_tokens: tokens.map(|tokens| tokens as u64),
        }
    }
}
