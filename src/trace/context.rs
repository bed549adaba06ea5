//! Place of a request in a trace: the client's, from its header `traceparent`, or a new one.

/// Header in which a client names its trace and the span that calls, as in W3C Trace Context.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// Trace of a request and the span above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    /// span of the client
    pub parent: Option<u64>,
}

/// Parsed header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTrace {
    pub trace_id: u128,
    pub parent: u64,
    /// decision of the client about recording
    pub is_sampled: bool,
}

impl ClientTrace {
    /// Parses `00-<32 digits>-<16 digits>-<2 digits>`; a later version may have more fields behind. `None` for anything else: the
    /// request begins a trace of its own then.
    pub fn parse(header: &str) -> Option<ClientTrace> {
        let mut fields = header.trim().split('-');
        let version = hexadecimal(fields.next()?, 2)?;
        let trace_id = hexadecimal(fields.next()?, 32)?;
        let parent = hexadecimal(fields.next()?, 16)?;
        let flags = hexadecimal(fields.next()?, 2)?;
        let has_more = fields.next().is_some();
        if version == 0xff || (version == 0 && has_more) || trace_id == 0 || parent == 0 {
            return None;
        }
        Some(ClientTrace {
            trace_id,
            parent: parent as u64,
            is_sampled: flags & 1 == 1,
        })
    }
}

/// Lower-case hexadecimal digits, exactly so many.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_read_by_version_ids_and_flags() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let sampled = ClientTrace::parse(&format!("00-{trace}-b7ad6b7169203331-01"));
        let expected = ClientTrace {
            trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            parent: 0xb7ad_6b71_6920_3331,
            is_sampled: true,
        };
        assert_eq!(sampled, Some(expected));
        let unsampled = ClientTrace::parse(&format!("00-{trace}-b7ad6b7169203331-00"));
        assert_eq!(unsampled.map(|trace| trace.is_sampled), Some(false));
        let later = ClientTrace::parse(&format!("01-{trace}-b7ad6b7169203331-03-more"));
        assert_eq!(later, Some(expected));
    }

    #[test]
    fn traceparent_malformed_is_no_context() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for header in [
            String::new(),
            format!("00-{trace}-b7ad6b7169203331"),
            format!("00-{trace}-b7ad6b7169203331-01-more"),
            format!("ff-{trace}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            format!("00-{trace}-b7ad6b716920333+-01"),
            "é".repeat(55),
        ] {
            assert_eq!(ClientTrace::parse(&header), None, "{header}");
        }
    }
}
