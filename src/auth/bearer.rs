//! Extracts the credential from the three request headers that SDKs use. It never validates the credential.

/// Returns the key from `Authorization: Bearer KEY`, else from `x-api-key`, else from `api-key`. A scheme other than Bearer or an
/// empty value counts as absent.
pub fn credential<'a>(
    authorization: Option<&'a str>,
    x_api_key: Option<&'a str>,
    api_key: Option<&'a str>,
) -> Option<&'a str> {
    let candidates = [authorization.and_then(bearer), x_api_key, api_key];
    candidates
        .into_iter()
        .flatten()
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
                credential(authorization, x_api_key, api_key),
                expected,
                "{headers:?}"
            );
        }
    }
}
