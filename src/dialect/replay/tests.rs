//! Responses that were written are read back, in each dialect and form, and a stream without its end is none.

use super::*;
use crate::conversation::{StateSealer, StopReason};
use crate::dialect::{Operation, read};

fn meta(id: &str) -> ResponseMeta {
    ResponseMeta {
        request_id: id.into(),
        model: "m".into(),
        created_s: 7,
        input_estimate: 1,
        sealer: StateSealer::new([0; 32]),
    }
}

fn request(dialect: Dialect, streamed: bool) -> Request {
    let prompt = match dialect {
        Dialect::Responses => r#""input":"hi""#,
        _ => r#""max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#,
    };
    let body = format!(r#"{{"model":"m","stream":{streamed},{prompt}}}"#);
    read(dialect, Operation::Conversation, body.into()).expect("a request")
}

fn response() -> ChatResponse {
    ChatResponse {
        blocks: vec![Content::Text("Grüße, 世界".into()).into()],
        stop: StopReason::End,
    }
}

fn text(response: &ChatResponse) -> String {
    let texts = response.blocks.iter().map(|block| match &block.content {
        Content::Text(text) => text.as_str(),
        _ => "?",
    });
    texts.collect()
}

#[test]
fn replayed_response_is_read_back_in_each_dialect_as_json_and_as_stream() {
    let usage = Usage {
        uncached_in: 5,
        out_total: 3,
        ..Usage::default()
    };
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
        for streamed in [false, true] {
            let request = request(dialect, streamed);
            let comment = b": cost 0\n";
            let bytes = replay(&request, meta("req_1"), &response(), &usage, comment);
            let bytes = bytes.expect("a client's dialect");
            let read = complete_response(dialect, &meta("req_2"), streamed, bytes.clone());
            let read = read.expect("complete");
            assert_eq!(text(&read), "Grüße, 世界", "{dialect:?} {streamed}");
            assert_eq!(read.stop, StopReason::End);
            let has_comment = memchr::memmem::find(&bytes, comment).is_some();
            assert_eq!(has_comment, streamed);
        }
    }
}

#[test]
fn stream_without_its_end_is_no_response() {
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
        let request = request(dialect, true);
        let bytes = replay(&request, meta("r"), &response(), &Usage::default(), b"");
        let bytes = bytes.expect("a client's dialect");
        let events: Vec<usize> = memchr::memmem::find_iter(&bytes, "\n\n").collect();
        for end in &events[..events.len() - 1] {
            let cut = complete_response(dialect, &meta("r"), true, bytes.slice(..end + 2));
            // chat says why it stopped before its last event
            if let Some(cut) = cut {
                assert_eq!(dialect, Dialect::Chat);
                assert_eq!(text(&cut), "Grüße, 世界");
            }
        }
        assert!(complete_response(dialect, &meta("r"), false, Bytes::from("{")).is_none());
    }
}
