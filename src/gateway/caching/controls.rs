//! Headers by which a client narrows the cache for one request. None of them widens what the route allows.

use crate::domain::api_error::ApiError;
use crate::domain::cache::Similarity;

const CACHE_HEADER: &str = "x-gatekeeper-cache";
const TTL_HEADER: &str = "x-gatekeeper-cache-ttl";
const NAMESPACE_HEADER: &str = "x-gatekeeper-cache-namespace";
const THRESHOLD_HEADER: &str = "x-gatekeeper-cache-threshold";

const TTL_S_MAX: u64 = 30 * 86_400;
const NAMESPACE_BYTES_MAX: usize = 64;
const DIRECTIVES: [(&str, Directive); 5] = [
    ("off", Directive::Off),
    ("no-store", Directive::NoStore),
    ("refresh", Directive::Refresh),
    ("exact", Directive::Exact),
    ("semantic", Directive::Semantic),
];

/// The headers as the client wrote them.
#[derive(Clone, Debug, Default)]
pub struct CacheHeaders {
    directive: Option<String>,
    ttl: Option<String>,
    namespace: Option<String>,
    threshold: Option<String>,
}

/// Reads the headers; `None` without any.
pub fn read_cache_headers<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
) -> Option<Box<CacheHeaders>> {
    let read = |name: &str| header(name).map(|value| value.trim().to_owned());
    let headers = CacheHeaders {
        directive: read(CACHE_HEADER),
        ttl: read(TTL_HEADER),
        namespace: read(NAMESPACE_HEADER),
        threshold: read(THRESHOLD_HEADER),
    };
    let CacheHeaders {
        directive,
        ttl,
        namespace,
        threshold,
    } = &headers;
    let any = [directive, ttl, namespace, threshold];
    any.iter()
        .any(|header| header.is_some())
        .then(|| Box::new(headers))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Directive {
    /// neither look up nor keep
    Off,
    /// look up, keep nothing
    NoStore,
    /// ask upstream, and keep the answer
    Refresh,
    /// no comparison by meaning
    Exact,
    /// as the route allows
    Semantic,
}

/// Controls of one request.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct CacheControls {
    pub directive: Option<Directive>,
    pub ttl_ms: Option<u64>,
    pub namespace: Option<String>,
    pub threshold: Option<Similarity>,
}

impl CacheControls {
    pub fn parse(headers: &CacheHeaders) -> Result<CacheControls, ApiError> {
        let directive = |word: &String| {
            let known = DIRECTIVES.iter().find(|(known, _)| known == word);
            let words = "use off, no-store, refresh, exact or semantic";
            known
                .map(|(_, directive)| *directive)
                .ok_or_else(|| invalid(CACHE_HEADER, words))
        };
        let ttl = |text: &String| {
            let seconds = text.parse().ok().filter(|s| (1..=TTL_S_MAX).contains(s));
            let range = format!("use whole seconds from 1 to {TTL_S_MAX}");
            seconds
                .map(|seconds: u64| seconds * 1_000)
                .ok_or_else(|| invalid(TTL_HEADER, &range))
        };
        let namespace = |text: &String| {
            let is_valid = (1..=NAMESPACE_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic());
            let letters = "use 1 to 64 letters of visible ASCII, without spaces";
            is_valid
                .then(|| text.clone())
                .ok_or_else(|| invalid(NAMESPACE_HEADER, letters))
        };
        let threshold = |text: &String| {
            let range = "use a number from 0 to 1 such as 0.92";
            Similarity::parse(text).ok_or_else(|| invalid(THRESHOLD_HEADER, range))
        };
        Ok(CacheControls {
            directive: headers.directive.as_ref().map(directive).transpose()?,
            ttl_ms: headers.ttl.as_ref().map(ttl).transpose()?,
            namespace: headers.namespace.as_ref().map(namespace).transpose()?,
            threshold: headers.threshold.as_ref().map(threshold).transpose()?,
        })
    }
}

fn invalid(header: &str, remedy: &str) -> ApiError {
    ApiError::invalid(format!("invalid header {header}; {remedy}")).with_param(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(headers: &[(&str, &str)]) -> Result<CacheControls, ApiError> {
        let owned: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let find = |name: &str| {
            let found = owned.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        read_cache_headers(find).map_or_else(
            || Ok(CacheControls::default()),
            |headers| CacheControls::parse(&headers),
        )
    }

    #[test]
    fn cache_headers_are_parsed() {
        let controls = parsed(&[
            (CACHE_HEADER, "refresh"),
            (TTL_HEADER, "60"),
            (NAMESPACE_HEADER, "night"),
            (THRESHOLD_HEADER, "0.92"),
        ]);
        let controls = controls.expect("valid");
        assert_eq!(controls.directive, Some(Directive::Refresh));
        assert_eq!(controls.ttl_ms, Some(60_000));
        assert_eq!(controls.namespace.as_deref(), Some("night"));
        assert_eq!(controls.threshold, Some(Similarity(920)));
        assert!(parsed(&[]).expect("valid").directive.is_none());
    }

    #[test]
    fn invalid_cache_header_is_named() {
        for (name, value) in [
            (CACHE_HEADER, "sometimes"),
            (TTL_HEADER, "0"),
            (TTL_HEADER, "1h"),
            (NAMESPACE_HEADER, "a b"),
            (THRESHOLD_HEADER, "2"),
            (THRESHOLD_HEADER, "-0.5"),
            (THRESHOLD_HEADER, "NaN"),
        ] {
            let error = parsed(&[(name, value)]).expect_err(value);
            assert!(error.message.contains(name), "{}", error.message);
        }
    }
}
