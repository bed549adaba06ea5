//! `takes` of a provider's section: request members that go up to a vendor of a borrowed dialect. Refuses names under which
//! such vendors know the output cap or the number of answers, since the gateway holds money by them.

use super::file::{ConfigErrors, Spanned};
use crate::dialect;

const MEMBERS_MAX: usize = 100;
const MEMBER_BYTES_MAX: usize = 64;

pub(super) fn resolve(written: Vec<Spanned<String>>, errors: &mut ConfigErrors) -> Vec<String> {
    if let Some(first) = written.get(MEMBERS_MAX) {
        let listed = written.len();
        first.report(
            errors,
            format_args!("{listed} members listed; at most {MEMBERS_MAX} are allowed"),
        );
    }
    let parse = |written: Spanned<String>| written.parse(errors, |member| check(member));
    written.into_iter().filter_map(parse).collect()
}

fn check(member: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if member.is_empty() || member.len() > MEMBER_BYTES_MAX || !member.bytes().all(plain) {
        return Err(format!(
            "invalid member name; use 1 to {MEMBER_BYTES_MAX} of a-z, A-Z, 0-9, _, - and ."
        ));
    }
    if dialect::is_bound_alias(member) {
        return Err(format!(
            "`{member}` is another name of the output cap or of the number of answers, by which the gateway holds money; remove it"
        ));
    }
    Ok(member.to_owned())
}
