//! Embedder of the semantic step: a text becomes a vector, and texts of like meaning get vectors of a small angle. The model is
//! all-MiniLM-L6-v2 in small integers, a part of the executable (feature `embedded-embedder`) that is read in place: nothing of it is
//! in memory before the first text. Pure computation of some milliseconds per text: the caller runs it on a thread of its own. It
//! must never be the only judge of two texts (`guards`): a changed number hardly moves a vector.

mod layout;
mod model;
mod respelling;
mod tokenizer;
mod vector;
mod vocabulary;

#[cfg(all(test, feature = "embedded-embedder"))]
mod tests;

use layout::Layout;
use model::Model;
use vocabulary::Vocabulary;

pub use vector::Vector;

/// Tokens of a text that is embedded, at most: about 90 words. What the model does not see cannot be compared.
pub const TOKENS_MAX: usize = model::POSITIONS - 2;

/// Longer texts are not even cut into tokens.
const TEXT_BYTES_MAX: usize = 4_096;

/// Name of the model and of its conversion. Vectors of another name cannot be compared: it is a part of the namespace.
pub const MODEL: &str = "minilm-l6-v2/1";

#[cfg(feature = "embedded-embedder")]
const FILE: Option<&[u8]> = Some(include_bytes!("../../../assets/embedder/minilm-l6.bin"));
#[cfg(not(feature = "embedded-embedder"))]
const FILE: Option<&[u8]> = None;

/// Model and vocabulary. A load takes some milliseconds and 1 MB; one embedder serves all threads.
pub struct Embedder {
    vocabulary: Vocabulary,
    model: Model,
}

impl Embedder {
    /// `None` if the executable was built without the feature `embedded-embedder`.
    pub fn load() -> Option<Embedder> {
        let mut file = Layout::open(FILE?);
        let vocabulary = Vocabulary::read(&mut file);
        let model = Model::read(&mut file, vocabulary.len());
        file.close();
        Some(Embedder { vocabulary, model })
    }

    /// `None` for a text of more than [`TOKENS_MAX`] tokens, or of none.
    pub fn embed(&self, text: &str) -> Option<Vector> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let ids = tokenizer::tokenize(text, &self.vocabulary, model::POSITIONS)?;
        (ids.len() > 2).then(|| Vector::from_values(&self.model.forward(&ids)))
    }

    /// Vector of a prompt, for the search: that of the text without its slips of the pen, which the guards compare afterwards.
    pub fn embed_prompt(&self, text: &str) -> Option<Vector> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        self.embed(&respelling::respell(text, &self.vocabulary))
    }

    /// A word of the model's dictionary as a whole, in lower case: not misspelled.
    pub fn is_word(&self, word: &str) -> bool {
        self.vocabulary.id(word).is_some()
    }
}
