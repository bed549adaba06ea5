//! From a client's request to another dialect's: read into the hub's neutral ask, written as the upstream reads it.

use crate::conversation::{Ask, Capabilities, Envelope, Names, Words};
use crate::dialect::{
    Dialect, Request, chat, cohere, converse, gemini, messages, ollama, responses,
};
use crate::domain::problem::Problem;

/// How a request is to be written for one deployment.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// the model's name upstream
    pub model: &'a str,
    pub capabilities: &'a Capabilities,
    /// the names that the tools have upstream
    pub names: &'a Names,
    /// the most output, where anybody named or chose it
    pub output_cap: Option<u64>,
    /// what the model can write at most, for dialects that insist on a cap
    pub output_max: u64,
    /// the member that caps the output of a chat call
    pub output_cap_member: &'static str,
    /// whether a chat stream has to be asked for its usage
    pub asks_usage: bool,
}

/// Reads what a client asks. `envelope` opens what a client carried for a vendor. What the hub has no place for is named in
/// the ask's `dropped`; what cannot be had in another dialect at all is refused.
pub fn read_request(request: &Request, envelope: &Envelope) -> Result<Ask, Problem> {
    let mut ask = match request.dialect {
        Dialect::Chat => chat::read_request(request, envelope)?,
        Dialect::Responses => responses::read_request(request, envelope)?,
        Dialect::Messages => messages::read_request(request, envelope)?,
        _ => {
            return Err(Problem::invalid(
                "a request of this kind cannot be translated for another vendor",
            ));
        }
    };
    ask.order_turns();
    Ok(ask)
}

/// What a client's dialect calls things.
pub const fn words(client: Dialect) -> &'static Words {
    match client {
        Dialect::Responses => &responses::WORDS,
        Dialect::Messages => &messages::WORDS,
        _ => &chat::WORDS,
    }
}

/// Writes an ask that was fitted as the body of an upstream's request.
pub fn write_request(upstream: Dialect, ask: &Ask, sending: &Sending<'_>) -> Option<String> {
    Some(match upstream {
        Dialect::Chat => chat::write_request(ask, sending),
        Dialect::Gemini => gemini::write_request(ask, sending),
        Dialect::Cohere => cohere::write_request(ask, sending),
        Dialect::Ollama => ollama::write_request(ask, sending),
        Dialect::Messages => messages::write_request(ask, sending),
        Dialect::Converse => converse::write_request(ask, sending),
        _ => return None,
    })
}
