//! Uses up the budget of one team with real calls, so that the next call of the team is refused.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpStream;

use super::teams::SMALL;
use crate::cli::failure::Failure;
use crate::cli::http::{JSON, Request, exchange};
use crate::domain::secret::Secret;

/// Lengths of the answers, the longest first: the last ones leave no room for even a short answer.
const ANSWER_TOKENS: [u64; 4] = [4_096, 1_000, 100, 10];

/// Calls the model until the gateway refuses.
pub(super) async fn spend(address: SocketAddr, key: &Secret) -> Result<(), Failure> {
    for tokens in ANSWER_TOKENS {
        while ask(address, key, tokens).await? == 200 {}
    }
    Ok(())
}

/// Status of one call for an answer of this length.
async fn ask(address: SocketAddr, key: &Secret, tokens: u64) -> Result<u16, Failure> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| Failure::runtime(format!("demo not reached: {error}")))?;
    let question = format!("Write a long answer, tokens={tokens}");
    let body = json!({"model": SMALL, "max_tokens": tokens,
        "messages": [{"role": "user", "content": question}]});
    let request = Request {
        method: "POST",
        path: "/v1/chat/completions",
        host: "localhost",
        key: Some(key),
        accept: JSON,
        body: Some(body.to_string()),
    };
    let answer = exchange(stream, request).await;
    let (status, _) = answer.map_err(|error| Failure::runtime(error.to_string()))?;
    Ok(status)
}
