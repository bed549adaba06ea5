//! Where a key stands in a request: picks the credential out of the values of the three headers that SDKs use. It does not
//! judge it.

/// `Authorization: Bearer KEY`, else `x-api-key`, else `api-key`. Clients that send two keys mean the first in that order;
/// another scheme than Bearer, or an empty value, is as good as none.
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
    fn the_first_header_with_a_key_counts() {
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
