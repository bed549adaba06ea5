//! Extracts the credential from the three request headers that SDKs use. It never validates the credential.

/// Returns the key from `Authorization: Bearer KEY`, else from `x-api-key`, else from `api-key`. A scheme other than Bearer or an
/// empty value counts as absent.
/// `header` looks a header up by its name in lower case, and is asked no further than to the first key.
pub fn credential<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let candidate = |name: &str| match name {
        "authorization" => header(name).and_then(bearer),
        _ => header(name),
    };
    ["authorization", "x-api-key", "api-key"]
        .into_iter()
        .filter_map(candidate)
        .map(str::trim)
        .find(|text| !text.is_empty())
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_comes_from_the_first_header_with_a_key() {
        for (headers, expected) in [
            ([Some("Bearer a"), None, None], Some("a")),
            ([Some("bearer  a "), None, None], Some("a")),
            ([Some("Bearer a"), Some("b"), Some("c")], Some("a")),
            ([Some("Basic Zm9v"), Some("b"), Some("c")], Some("b")),
            ([Some("Bearer "), Some(""), Some("c")], Some("c")),
            ([Some("a"), None, None], None),
            ([None, None, None], None),
        ] {
            let [authorization, x_api_key, api_key] = headers;
            assert_eq!(
                credential(|name| match name {
                    "authorization" => authorization,
                    "x-api-key" => x_api_key,
                    _ => api_key,
                }),
                expected,
                "{headers:?}"
            );
        }
    }
}
