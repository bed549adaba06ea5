//! Reads along while a stream is relayed: of each event, what it is for the relay; of the stream, what it used and how
//! much it said. Takes whole raw events; must never change one, and must survive anything an upstream sends.

use crate::dialect::chat::{Chunk, StreamedUsage, choice_failed};
use crate::dialect::fault::{self, UpstreamError};
use crate::dialect::messages::{MessagesEvent, MessagesEventKind, MessagesUsage};
use crate::dialect::output::DeliveredText;
use crate::dialect::responses::ResponsesTap;
use crate::dialect::wire::json;
use crate::dialect::wire::sse;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{Dialect, ErrorFormat};
use crate::domain::api_error::ApiError;
use crate::domain::usage::ReportedUsage;

/// What an event is for the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// nothing of the answer is in it: heads, pings, comments, role-only deltas, usage, events nobody knows
    Head,
    /// a piece of the answer
    Content,
    /// the stream is complete: `[DONE]`, `message_stop`
    Terminal,
    /// the upstream says that its stream is over, and its answer is not: as good as a body that breaks off
    Truncated,
    /// the usage chunk that the client did not ask for
    Hidden,
    /// the upstream failed in-band, or sent what cannot be read
    Error(UpstreamError),
}

/// Reads one stream of one attempt.
#[derive(Clone, Debug)]
pub struct PassthroughTap {
    hide_usage_chunk: bool,
    usage: StreamUsage,
    delivered: DeliveredText,
    stopped: bool,
}

#[derive(Clone, Debug)]
enum StreamUsage {
    Chat(StreamedUsage),
    Messages {
        usage: MessagesUsage,
        is_final: bool,
    },
    Responses(Box<ResponsesTap>),
}

impl PassthroughTap {
    /// `hide_usage_chunk`: the client did not ask for the usage chunk that the gateway asked for (chat only).
    pub fn new(dialect: Dialect, hide_usage_chunk: bool) -> PassthroughTap {
        let usage = match dialect.error_format() {
            _ if dialect == Dialect::Responses => StreamUsage::Responses(Box::default()),
            ErrorFormat::OpenAi => StreamUsage::Chat(StreamedUsage::default()),
            ErrorFormat::Anthropic => StreamUsage::Messages {
                usage: MessagesUsage::default(),
                is_final: false,
            },
        };
        PassthroughTap {
            hide_usage_chunk,
            usage,
            delivered: DeliveredText::default(),
            stopped: false,
        }
    }

    /// Reads one whole raw event.
    pub fn read(&mut self, event: &[u8]) -> EventKind {
        let fields = sse::parse(event);
        match &mut self.usage {
            StreamUsage::Responses(tee) => tee.read(&fields),
            StreamUsage::Chat(_) => self.read_chat(&fields),
            StreamUsage::Messages { .. } => self.read_messages(&fields),
        }
    }

    /// Reads an event that the client does not get to see, for its usage alone.
    pub fn read_trailing_usage(&mut self, event: &[u8]) -> EventKind {
        let delivered = self.delivered;
        let kind = match &mut self.usage {
            StreamUsage::Responses(tee) => tee.read_trailing_usage(&sse::parse(event)),
            _ => self.read(event),
        };
        self.delivered = delivered;
        kind
    }

    /// The usage as it stands: per field the last value. In messages the input is told at the start, the output at the
    /// end: until [`Tee::output_is_final`] the output of a report is at best a beginning.
    pub fn report(&self) -> ReportedUsage {
        match &self.usage {
            StreamUsage::Chat(usage) => usage.report(),
            StreamUsage::Messages { usage, .. } => usage.report(),
            StreamUsage::Responses(tee) => tee.report(),
        }
    }

    /// Whether the report's output count is the last word, not to be replaced by an estimate.
    pub fn output_is_final(&self) -> bool {
        match &self.usage {
            StreamUsage::Chat(usage) => usage.output_is_final,
            StreamUsage::Messages { is_final, .. } => *is_final,
            StreamUsage::Responses(tee) => tee.output_is_final(),
        }
    }

    /// All text of the answer so far.
    pub fn delivered(&self) -> DeliveredText {
        match &self.usage {
            StreamUsage::Responses(tee) => tee.delivered(),
            _ => self.delivered,
        }
    }

    /// A failure within the stream, where its words depend on what came before.
    pub(super) fn failed(&self, problem: &ApiError, request_id: &str) -> Option<bytes::Bytes> {
        match &self.usage {
            StreamUsage::Responses(tee) => Some(tee.failed(problem, request_id)),
            _ => None,
        }
    }

    /// Whether a finish or stop reason was seen.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    fn read_chat(&mut self, fields: &Fields<'_>) -> EventKind {
        let data = fields.data.trim_ascii();
        match data {
            _ if fields.event == Some(b"error") => {
                if let StreamUsage::Chat(usage) = &mut self.usage {
                    usage.ended = true;
                }
                return EventKind::Error(fault::named(Dialect::Chat, data));
            }
            b"" => return EventKind::Head,
            b"[DONE]" => return EventKind::Terminal,
            _ => {}
        }
        let Ok(mut chunk) = json::read(&Chunk::default(), data) else {
            return not_json();
        };
        if let StreamUsage::Chat(usage) = &mut self.usage {
            usage.then(&mut chunk);
        }
        self.delivered.add(chunk.output.delivered);
        self.stopped |= chunk.stopped;
        if chunk.error.seen {
            return EventKind::Error(chunk.error.certain_fault(Dialect::Chat));
        }
        if chunk.choice_failed {
            return EventKind::Error(choice_failed());
        }
        if chunk.output.has_content {
            return EventKind::Content;
        }
        let is_usage_chunk = chunk.has_usage && chunk.choices == 0;
        if is_usage_chunk && self.hide_usage_chunk {
            EventKind::Hidden
        } else {
            EventKind::Head
        }
    }

    fn read_messages(&mut self, fields: &Fields<'_>) -> EventKind {
        let name = fields.event.map(MessagesEventKind::of).unwrap_or_default();
        let data = fields.data.trim_ascii();
        match data {
            _ if name == MessagesEventKind::Error => {
                return EventKind::Error(fault::named(Dialect::Messages, data));
            }
            b"" if name == MessagesEventKind::Stop => return EventKind::Terminal,
            // OpenAI's end mark, which some who borrow this dialect add
            b"" | b"[DONE]" => return EventKind::Head,
            _ => {}
        }
        let Ok(event) = json::read(&MessagesEvent::default(), data) else {
            return not_json();
        };
        self.stopped |= event.stopped;
        if let StreamUsage::Messages { usage, is_final } = &mut self.usage {
            usage.then(event.usage);
            *is_final |= self.stopped && event.has_final_usage;
            match event.metrics {
                // the model's own last word is known: these fill in what it left out
                Some(metrics) if *is_final => usage.or(metrics),
                Some(metrics) => {
                    *is_final = metrics.output_said();
                    usage.then(metrics);
                }
                None => {}
            }
        }
        self.delivered.add(event.block.output.delivered);
        match event.kind.unwrap_or(name) {
            MessagesEventKind::Error => {
                EventKind::Error(event.error.certain_fault(Dialect::Messages))
            }
            _ if event.error.seen => EventKind::Error(event.error.certain_fault(Dialect::Messages)),
            MessagesEventKind::Stop => EventKind::Terminal,
            MessagesEventKind::Other if event.block.output.has_content => EventKind::Content,
            MessagesEventKind::Other => EventKind::Head,
        }
    }
}

fn not_json() -> EventKind {
    EventKind::Error(UpstreamError::unreadable(
        "the upstream sent an event that is not JSON",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::samples;
    use crate::domain::usage::{Side, Usage};

    /// Reads a stream; one letter per event, and the tee.
    fn read(mut tee: PassthroughTap, stream: &str) -> (String, PassthroughTap) {
        let kinds = samples::events(stream)
            .iter()
            .map(|event| match tee.read(event) {
                EventKind::Head => 'h',
                EventKind::Content => 'c',
                EventKind::Terminal => 't',
                EventKind::Hidden => '-',
                EventKind::Error(_) | EventKind::Truncated => 'e',
            })
            .collect();
        (kinds, tee)
    }

    fn chat(stream: &str) -> (String, PassthroughTap) {
        read(PassthroughTap::new(Dialect::Chat, true), stream)
    }

    fn messages(stream: &str) -> (String, PassthroughTap) {
        read(PassthroughTap::new(Dialect::Messages, false), stream)
    }

    fn data(json: &str) -> String {
        format!("data: {json}\n\n")
    }

    fn fault(tee: &mut PassthroughTap, event: &str) -> UpstreamError {
        match tee.read(event.as_bytes()) {
            EventKind::Error(fault) => fault,
            kind => panic!("{event}: {kind:?}"),
        }
    }

    #[test]
    fn p02_a_chat_stream_is_read_and_its_usage_chunk_hidden() {
        let (kinds, tee) = chat(samples::CHAT_STREAM);
        assert_eq!(kinds, "hccch-t");
        assert!(tee.stopped() && tee.output_is_final());
        assert_eq!(
            tee.delivered(),
            DeliveredText {
                text_bytes: 14,
                cjk_chars: 1
            }
        );
        assert_eq!(
            tee.report(),
            ReportedUsage::Complete(Usage {
                uncached_in: 70,
                cache_read: 20,
                cache_write_other: 10,
                out_total: 12,
                reasoning: 5,
                audio_in: 1,
                service_tier: Some("default".into()),
                ..Usage::default()
            })
        );
    }

    #[test]
    fn p03_a_usage_chunk_that_was_asked_for_is_shown() {
        let (kinds, _) = read(
            PassthroughTap::new(Dialect::Chat, false),
            samples::CHAT_STREAM,
        );
        assert_eq!(kinds, "hccchht");
    }

    #[test]
    fn e11_usage_is_read_from_any_chunk_and_counted_once() {
        let groq = data(r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#)
            + &data(
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":7,"completion_tokens":3}}}"#,
            )
            + &data(r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#)
            + "data: [DONE]\n\n";
        let mistral = data(
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#,
        ) + "data: [DONE]\n\n";
        for (stream, kinds) in [(groq, "ch-t"), (mistral, "ct")] {
            let (read, tee) = chat(&stream);
            assert_eq!(read, kinds);
            assert_eq!(
                tee.report(),
                ReportedUsage::Complete(Usage {
                    uncached_in: 7,
                    out_total: 3,
                    ..Usage::default()
                })
            );
        }
    }

    #[test]
    fn an_output_that_was_counted_before_the_end_is_no_last_word() {
        let text = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
        let counted = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
        let stop = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        let stop_counted = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
        let error = r#"{"error":{"message":"it went dark"}}"#;
        for (chunks, is_final) in [
            (&[counted, text, stop][..], false),
            (&[usage, stop], false),
            (&[counted, text, stop, usage], true),
            (&[counted, counted, stop_counted], true),
            (&[text, stop_counted, r#"{"choices":[]}"#], true),
            // of two choices the other goes on
            (&[text, stop_counted, text], false),
            (&[text, stop_counted, text, usage], true),
            (&[text, error, usage], true),
            (&[counted, error], false),
        ] {
            let stream: String = chunks.iter().map(|chunk| data(chunk)).collect();
            assert_eq!(chat(&stream).1.output_is_final(), is_final, "{chunks:?}");
        }
        let delta = r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":1}}"#;
        let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
        assert!(!messages(&(data(delta) + &data(stop))).1.output_is_final());
        assert!(messages(&(data(stop) + &data(delta))).1.output_is_final());
    }

    #[test]
    fn the_last_value_of_each_field_counts_not_the_sum_nor_the_largest() {
        let stream = data(r#"{"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":1}}"#)
            + &data(
                r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}"#,
            );
        let expected = Usage {
            uncached_in: 5,
            cache_read: 2,
            out_total: 3,
            ..Usage::default()
        };
        assert_eq!(chat(&stream).1.report(), ReportedUsage::Complete(expected));
    }

    #[test]
    fn more_cache_than_prompt_never_counts_below_zero() {
        let stream = data(
            r#"{"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":9}}}"#,
        );
        let expected = Usage {
            cache_read: 9,
            out_total: 3,
            reasoning: 3,
            ..Usage::default()
        };
        assert_eq!(chat(&stream).1.report(), ReportedUsage::Complete(expected));
    }

    /// As OpenRouter reports the images of a Gemini model.
    #[test]
    fn images_that_were_made_are_a_share_of_the_output() {
        let stream = |images| {
            data(&format!(
                r#"{{"usage":{{"prompt_tokens":5,"completion_tokens":1300,"completion_tokens_details":{{"image_tokens":{images}}}}}}}"#
            ))
        };
        let expected = |image_out| Usage {
            uncached_in: 5,
            out_total: 1_300,
            image_out,
            ..Usage::default()
        };
        for (told, image_out) in [("1290", 1_290), ("9999", 1_300), ("null", 0)] {
            assert_eq!(
                chat(&stream(told)).1.report(),
                ReportedUsage::Complete(expected(image_out)),
                "{told}"
            );
        }
        assert_eq!(chat(&stream("-1")).1.report(), ReportedUsage::Invalid);
    }

    #[test]
    fn impossible_counts_are_lies_and_absent_ones_are_missing() {
        for (usage, expected) in [
            ("null", ReportedUsage::Missing),
            ("{}", ReportedUsage::Missing),
            (r#"{"total_tokens":7}"#, ReportedUsage::Missing),
            (
                r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":"7","completion_tokens":1}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":null}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":[1]}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":1000000001}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":99999999999999999999}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-3}}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":null},"completion_tokens_details":null}"#,
                ReportedUsage::Complete(Usage {
                    uncached_in: 7,
                    ..Usage::default()
                }),
            ),
            (
                r#"{"prompt_tokens":7}"#,
                ReportedUsage::Partial {
                    usage: Usage {
                        uncached_in: 7,
                        ..Usage::default()
                    },
                    missing: Side::Output,
                },
            ),
            (
                r#"{"completion_tokens":7}"#,
                ReportedUsage::Partial {
                    usage: Usage {
                        out_total: 7,
                        ..Usage::default()
                    },
                    missing: Side::Input,
                },
            ),
            (r#""x""#, ReportedUsage::Invalid),
            ("[]", ReportedUsage::Invalid),
            ("-3", ReportedUsage::Invalid),
            (
                r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":"x"}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"prompt_tokens":7,"completion_tokens":1,"completion_tokens_details":[]}"#,
                ReportedUsage::Invalid,
            ),
        ] {
            let stream = data(&format!(r#"{{"choices":[],"usage":{usage}}}"#));
            assert_eq!(chat(&stream).1.report(), expected, "{usage}");
        }
    }

    #[test]
    fn everything_a_model_says_is_content_and_everything_else_is_not() {
        for (chunk, kind) in [
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
                'h',
            ),
            (
                r#"{"choices":[],"prompt_filter_results":[{"a":"b"}],"id":"","model":""}"#,
                'h',
            ),
            (
                r#"{"choices":[{"index":0,"finish_reason":null,"content_filter_results":{"hate":{"severity":"safe"}}}]}"#,
                'h',
            ),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"stop","logprobs":{"content":[{"token":"a"}]}}],"obfuscation":"xx"}"#,
                'h',
            ),
            (r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#, 'c'),
            (r#"{"choices":[{"delta":{"refusal":"a"}}]}"#, 'c'),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}"#,
                'c',
            ),
            (r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#, 'c'),
            (r#"{"choices":[{"text":"a"}]}"#, 'c'),
            (r#"{"choices":[{"text":"","delta":{"content":"a"}}]}"#, 'c'),
            (r#"{"something":"else"}"#, 'h'),
            (r#""a text""#, 'h'),
            (r#"{"choices":"odd","usage":7,"error":null}"#, 'h'),
        ] {
            assert_eq!(chat(&data(chunk)).0, kind.to_string(), "{chunk}");
        }
        assert_eq!(chat(": ping\n\n\nretry: 3\n\nevent: x\n\n").0, "hhhh");
    }

    #[test]
    fn a_text_that_is_told_twice_is_counted_once() {
        let (_, tee) = chat(&data(
            r#"{"choices":[{"index":0,"text":"hello","delta":{"content":"hello"}}]}"#,
        ));
        assert_eq!(
            tee.delivered(),
            DeliveredText {
                text_bytes: 5,
                cjk_chars: 0
            }
        );
    }

    #[test]
    fn e15_chat_errors_in_band_are_errors() {
        let mut tee = PassthroughTap::new(Dialect::Chat, true);
        let expected = |status, kind: &str, message: &str| UpstreamError {
            status,
            kind: kind.into(),
            ..UpstreamError::new(message)
        };
        for (event, fault_read) in [
            (
                r#"data: {"error":{"message":"busy","type":"server_error","code":null}}"#,
                expected(Some(500), "server_error", "busy"),
            ),
            (
                r#"data: {"error":"busy"}"#,
                expected(None, "upstream_error", "busy"),
            ),
            (
                r#"data: {"choices":[],"x_groq":{"error":"over"}}"#,
                expected(None, "upstream_error", "over"),
            ),
            (
                r#"data: {"error":{}}"#,
                expected(
                    None,
                    "upstream_error",
                    "the upstream sent an error without a message",
                ),
            ),
            (
                "event: error\ndata: oops",
                expected(
                    None,
                    "upstream_error",
                    "the upstream sent an error without a message",
                ),
            ),
            (
                r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":"error"}]}"#,
                expected(
                    None,
                    "upstream_error",
                    "the upstream ended its answer with the finish reason `error`",
                ),
            ),
        ] {
            assert_eq!(
                fault(&mut tee, &format!("{event}\n\n")),
                fault_read,
                "{event}"
            );
        }
    }

    #[test]
    fn x10_an_event_that_is_not_json_is_an_error() {
        for dialect in [Dialect::Chat, Dialect::Messages] {
            for event in [
                "data: {\"choices\":[\n\n",
                "data: {}{}\n\n",
                "data: <html>\n\n",
                "data: \u{1}\n\n",
            ] {
                let fault = fault(&mut PassthroughTap::new(dialect, true), event);
                assert_eq!(
                    fault,
                    UpstreamError::unreadable("the upstream sent an event that is not JSON")
                );
            }
        }
    }

    #[test]
    fn p04_a_messages_stream_is_read() {
        let (kinds, tee) = messages(samples::MESSAGES_STREAM);
        assert_eq!(kinds, "hhhcchhcchchchht");
        assert!(tee.stopped() && tee.output_is_final());
        assert_eq!(
            tee.report(),
            ReportedUsage::Complete(Usage {
                uncached_in: 30,
                cache_read: 200,
                cache_write_5m: 40,
                cache_write_1h: 60,
                out_total: 25,
                reasoning: 9,
                web_searches: 3,
                service_tier: Some("standard".into()),
                ..Usage::default()
            })
        );
        assert_eq!(
            tee.delivered(),
            DeliveredText {
                text_bytes: 19,
                cjk_chars: 0
            }
        );
    }

    #[test]
    fn e12_the_last_input_count_wins_even_if_it_is_smaller() {
        let stream = data(
            r#"{"type":"message_start","message":{"usage":{"input_tokens":90000,"output_tokens":1}}}"#,
        ) + &data(
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":12,"output_tokens":5}}"#,
        );
        let (_, tee) = messages(&stream);
        assert_eq!(
            tee.report(),
            ReportedUsage::Complete(Usage {
                uncached_in: 12,
                out_total: 5,
                ..Usage::default()
            })
        );
    }

    #[test]
    fn until_the_delta_the_output_of_a_messages_report_is_a_beginning() {
        let (_, tee) = messages(&data(
            r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#,
        ));
        assert!(!tee.output_is_final() && !tee.stopped());
        assert_eq!(
            tee.report(),
            ReportedUsage::Complete(Usage {
                uncached_in: 9,
                out_total: 1,
                ..Usage::default()
            })
        );
    }

    #[test]
    fn messages_cache_writes_go_to_their_lifetimes() {
        for (usage, five, hour, other) in [
            (r#""cache_creation_input_tokens":100"#, 100, 0, 0),
            (
                r#""cache_creation_input_tokens":100,"cache_creation":null"#,
                100,
                0,
                0,
            ),
            (
                r#""cache_creation_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":60}"#,
                40,
                60,
                0,
            ),
            (
                r#""cache_creation_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":50}"#,
                40,
                50,
                10,
            ),
            (
                r#""cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":50}"#,
                40,
                50,
                0,
            ),
            (
                r#""cache_creation_input_tokens":55,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":50}"#,
                5,
                50,
                0,
            ),
        ] {
            let stream = data(&format!(
                r#"{{"type":"message_start","message":{{"usage":{{"input_tokens":1,"output_tokens":1,{usage}}}}}}}"#
            ));
            let ReportedUsage::Complete(read) = messages(&stream).1.report() else {
                panic!("{usage}")
            };
            assert_eq!(
                (
                    read.cache_write_5m,
                    read.cache_write_1h,
                    read.cache_write_other
                ),
                (five, hour, other),
                "{usage}"
            );
        }
    }

    #[test]
    fn e11_bedrocks_own_counts_fill_in_what_the_model_left_out_and_overrule_nothing() {
        let start =
            r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
        let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
        let stop = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":25,"invocationLatency":9,"firstByteLatency":1,"cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":4}}"#;
        for (events, uncached_in, out_total) in [
            (&[start, delta, stop][..], 9, 7),
            (&[start, stop][..], 10, 25),
            (&[stop][..], 10, 25),
        ] {
            let stream: String = events.iter().map(|event| data(event)).collect();
            let (kinds, tee) = messages(&stream);
            let expected = Usage {
                uncached_in,
                out_total,
                cache_read: 3,
                cache_write_5m: 4,
                ..Usage::default()
            };
            assert_eq!(
                (tee.report(), tee.output_is_final()),
                (ReportedUsage::Complete(expected), true),
                "{stream}"
            );
            assert!(kinds.ends_with('t'), "{kinds}");
        }
        let lie =
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":-1}}"#;
        assert_eq!(messages(&data(lie)).1.report(), ReportedUsage::Invalid);
    }

    #[test]
    fn what_a_compaction_used_is_added_to_the_totals() {
        let stream = [
            r#"data: {"type":"message_delta","delta":{},"usage":{"input_tokens":10,"output_tokens":5,"iterations":["#,
            r#"data: {"type":"compaction","input_tokens":1000,"output_tokens":50,"cache_creation_input_tokens":7},"#,
            r#"data: {"type":"message","input_tokens":10,"output_tokens":5},"#,
            "data: {\"input_tokens\":100,\"output_tokens\":1,\"type\":\"compaction\"}]}}\n\n",
        ]
        .join("\n");
        let expected = Usage {
            uncached_in: 1_110,
            cache_write_5m: 7,
            out_total: 56,
            ..Usage::default()
        };
        let mut tee = PassthroughTap::new(Dialect::Messages, false);
        // told again, not added again
        for _ in 0..2 {
            tee.read(stream.as_bytes());
            assert_eq!(tee.report(), ReportedUsage::Complete(expected.clone()));
        }
    }

    #[test]
    fn messages_lies_are_told_from_silence() {
        for (event, expected) in [
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":-1,"output_tokens":1}}}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":null,"output_tokens":1}}}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"type":"message_delta","usage":{"output_tokens":"5"}}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"type":"message_delta","usage":{"output_tokens":5,"server_tool_use":{"web_search_requests":0.5}}}"#,
                ReportedUsage::Invalid,
            ),
            (
                r#"{"type":"message_delta","usage":{"input_tokens":null,"output_tokens":5,"server_tool_use":null}}"#,
                ReportedUsage::Partial {
                    usage: Usage {
                        out_total: 5,
                        ..Usage::default()
                    },
                    missing: Side::Input,
                },
            ),
            (
                r#"{"type":"message_start","message":{"usage":{}}}"#,
                ReportedUsage::Missing,
            ),
            (
                r#"{"type":"message_start","message":{}}"#,
                ReportedUsage::Missing,
            ),
        ] {
            assert_eq!(messages(&data(event)).1.report(), expected, "{event}");
        }
    }

    #[test]
    fn a_speed_that_is_not_standard_counts_as_the_tier() {
        for (usage, tier) in [
            (r#""service_tier":"standard","speed":"fast""#, "fast"),
            (r#""speed":"fast","service_tier":"standard""#, "fast"),
            (
                r#""service_tier":"priority","speed":"standard""#,
                "priority",
            ),
            (
                r#""inference_geo":"us","service_tier":"standard","speed":"standard""#,
                "inference_geo=us",
            ),
            (
                r#""service_tier":"standard","inference_geo":"us""#,
                "inference_geo=us",
            ),
            (
                r#""service_tier":"standard","inference_geo":"global""#,
                "standard",
            ),
            (
                r#""inference_geo":"not_available","service_tier":"standard""#,
                "standard",
            ),
            (r#""inference_geo":"us","speed":"fast""#, "fast"),
        ] {
            let event = format!(
                r#"{{"type":"message_start","message":{{"usage":{{"input_tokens":1,"output_tokens":1,{usage}}}}}}}"#
            );
            let ReportedUsage::Complete(read) = messages(&data(&event)).1.report() else {
                panic!("{usage}")
            };
            assert_eq!(read.service_tier.as_deref(), Some(tier), "{usage}");
        }
    }

    #[test]
    fn p05_unknown_events_pass_and_unknown_deltas_are_content() {
        for (event, kind) in [
            ("event: shiny\ndata: {\"type\":\"shiny\",\"x\":[1]}", 'h'),
            (
                r#"data: {"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                'h',
            ),
            (
                r#"data: {"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
                'c',
            ),
            (
                r#"data: {"type":"content_block_start","content_block":{"type":"web_search_tool_result","content":[{"url":"u"}]}}"#,
                'c',
            ),
            (
                r#"data: {"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"abc"}}"#,
                'c',
            ),
            (
                r#"data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":""}}"#,
                'h',
            ),
            (
                r#"data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#,
                'c',
            ),
            (
                r#"data: {"type":"content_block_delta","delta":{"type":"shiny_delta","shine":"x"}}"#,
                'c',
            ),
            (
                r#"data: {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}}"#,
                'h',
            ),
            ("event: ping\ndata: {\"type\": \"ping\"}", 'h'),
            ("event: ping", 'h'),
            ("event: message_stop", 't'),
            ("event: message_stop\ndata: {}", 't'),
            ("data: [DONE]", 'h'),
        ] {
            assert_eq!(
                messages(&format!("{event}\n\n")).0,
                kind.to_string(),
                "{event}"
            );
        }
    }

    #[test]
    fn e15_messages_errors_in_band_are_errors() {
        let mut tee = PassthroughTap::new(Dialect::Messages, false);
        let busy = UpstreamError {
            status: Some(529),
            kind: "overloaded_error".into(),
            ..UpstreamError::new("busy")
        };
        for event in [
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
            "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        ] {
            assert_eq!(fault(&mut tee, event), busy, "{event}");
        }
        assert_eq!(
            fault(&mut tee, "data: {\"type\":\"error\"}\n\n").kind,
            "upstream_error"
        );
    }

    #[test]
    fn no_bytes_make_the_tee_panic() {
        for (dialect, stream) in [
            (Dialect::Chat, samples::CHAT_STREAM),
            (Dialect::Messages, samples::MESSAGES_STREAM),
        ] {
            for damaged in samples::damaged(stream.as_bytes(), 400) {
                let mut tee = PassthroughTap::new(dialect, true);
                for event in samples::events(&String::from_utf8_lossy(&damaged)) {
                    tee.read(&event);
                }
                tee.read(&damaged);
                let _ = (tee.report(), tee.delivered());
            }
        }
    }
}
