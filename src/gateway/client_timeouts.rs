//! Timeouts that clients announce in headers. They shorten the deadlines of the configuration and never extend them.

/// Timeouts that the client asked for, counted from its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// without data from the upstream
    pub read_ms: Option<u64>,
    /// of the whole call
    pub call_ms: Option<u64>,
}

/// Reads the timeouts that clients announce; `header` looks a header up by its name in lower case. A value that is no number counts
/// as absent.
pub fn read_timeouts<'h>(header: impl Fn(&str) -> Option<&'h str>) -> ClientTimeouts {
    let seconds = |name| {
        let written: f64 = header(name)?.trim().parse().ok()?;
        (written > 0.0).then_some((written * 1_000.0) as u64)
    };
    let own_ms = header("x-gatekeeper-timeout-ms").and_then(|text| text.trim().parse().ok());
    let call_ms = [
        seconds("x-stainless-timeout"),
        own_ms.filter(|ms: &u64| *ms > 0),
    ];
    ClientTimeouts {
        read_ms: seconds("x-stainless-read-timeout"),
        call_ms: call_ms.into_iter().flatten().min(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_timeouts_are_read_in_their_units_and_nonsense_is_ignored() {
        let headers = |pairs: &'static [(&str, &str)]| {
            read_timeouts(|name| {
                pairs
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|pair| pair.1)
            })
        };
        let read = headers(&[
            ("x-stainless-read-timeout", "2.5"),
            ("x-stainless-timeout", "600"),
        ]);
        assert_eq!((read.read_ms, read.call_ms), (Some(2_500), Some(600_000)));
        let own = headers(&[
            ("x-gatekeeper-timeout-ms", "1500"),
            ("x-stainless-timeout", "600"),
        ]);
        assert_eq!((own.read_ms, own.call_ms), (None, Some(1_500)));
        let none = headers(&[
            ("x-stainless-timeout", "NOT_GIVEN"),
            ("x-gatekeeper-timeout-ms", "0"),
        ]);
        assert_eq!(none, ClientTimeouts::default());
    }
}
