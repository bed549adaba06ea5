//! Protocol buffers of OTLP: an `ExportTraceServiceRequest` with the fields that spans here have. Field numbers are those of
//! `opentelemetry/proto/trace/v1/trace.proto`, `common.proto` and `resource.proto`.

use super::span::{Attribute, AttributeValue, Span, SpanKind};

const SCOPE: &str = "gatekeeper";

/// Body of an export.
pub fn export_request(spans: &[Span], resource: &[Attribute]) -> Vec<u8> {
    let mut described = Message::default();
    described.attributes(1, resource);
    let mut scope = Message::default();
    scope.text(1, SCOPE);
    scope.text(2, env!("CARGO_PKG_VERSION"));
    let mut of_scope = Message::default();
    of_scope.message(1, &scope);
    for span in spans {
        of_scope.message(2, &encode(span));
    }
    let mut of_resource = Message::default();
    of_resource.message(1, &described);
    of_resource.message(2, &of_scope);
    let mut request = Message::default();
    request.message(1, &of_resource);
    request.0
}

fn encode(span: &Span) -> Message {
    const ERROR: u64 = 2;
    let mut message = Message::default();
    message.bytes(1, &span.trace_id.to_be_bytes());
    message.bytes(2, &span.span_id.to_be_bytes());
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.to_be_bytes());
    }
    message.text(5, &span.name);
    message.number(
        6,
        match span.kind {
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
    );
    message.fixed(7, span.start_ns);
    message.fixed(8, span.end_ns);
    message.attributes(9, &span.attributes);
    if let Some(error) = span.error {
        let mut status = Message::default();
        status.text(2, error);
        status.number(3, ERROR);
        message.message(15, &status);
    }
    message
}

/// Message under construction.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    const VARINT: u64 = 0;
    const FIXED_64: u64 = 1;
    const LENGTH: u64 = 2;

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.tag(field, Message::VARINT);
        self.varint(value);
    }

    fn fixed(&mut self, field: u64, value: u64) {
        self.tag(field, Message::FIXED_64);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, Message::LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, value: &Message) {
        self.bytes(field, &value.0);
    }

    /// Repeated `KeyValue`.
    fn attributes(&mut self, field: u64, attributes: &[Attribute]) {
        for (name, value) in attributes {
            let mut any = Message::default();
            match value {
                AttributeValue::Text(text) => any.text(1, text),
                AttributeValue::Integer(number) => any.number(3, *number as u64),
            }
            let mut pair = Message::default();
            pair.text(1, name);
            pair.message(2, &any);
            self.message(field, &pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_is_encoded_with_the_field_numbers_of_the_format() {
        let span = Span {
            trace_id: 1,
            span_id: 2,
            parent: Some(3),
            name: "n".to_owned(),
            kind: SpanKind::Client,
            start_ns: 4,
            end_ns: 300,
            attributes: vec![
                ("a", AttributeValue::Text("t".to_owned())),
                ("i", AttributeValue::Integer(-1)),
            ],
            error: Some("e"),
        };
        let mut expected = vec![0x0a, 16];
        expected.extend(1u128.to_be_bytes());
        expected.extend([0x12, 8]);
        expected.extend(2u64.to_be_bytes());
        expected.extend([0x22, 8]);
        expected.extend(3u64.to_be_bytes());
        expected.extend([0x2a, 1, b'n', 0x30, 3, 0x39]);
        expected.extend(4u64.to_le_bytes());
        expected.push(0x41);
        expected.extend(300u64.to_le_bytes());
        expected.extend([0x4a, 8, 0x0a, 1, b'a', 0x12, 3, 0x0a, 1, b't']);
        // a negative number has ten bytes
        expected.extend([0x4a, 16, 0x0a, 1, b'i', 0x12, 11, 0x18]);
        expected.extend([0xff; 9]);
        expected.push(1);
        expected.extend([0x7a, 5, 0x12, 1, b'e', 0x18, 2]);
        assert_eq!(encode(&span).0, expected);
    }

    #[test]
    fn message_of_more_than_127_bytes_has_a_long_length() {
        let mut message = Message::default();
        message.text(1, &"x".repeat(300));
        assert_eq!(message.0[..3], [0x0a, 0xac, 0x02]);
        assert_eq!(message.0.len(), 303);
    }
}
