//! Mutated answers of vendors through the binary: the client gets a complete answer or an error, and the books agree.

use super::corpus;
use super::mutator::Mutator;
use super::vendors::{PATHS, Vendors, assert_answered, assert_no_defect};
use super::{seed, sent};
use crate::harness::client::HttpClient;

/// Sends one request; a stream may end without a clean end, but not without an end.
fn assert_ends(user: &HttpClient, path: &str, message: &[u8]) -> bool {
    let mut connection = user.connect();
    connection.send_request("POST", path, Some(message));
    match connection.try_read_response("POST") {
        Ok(answer) => {
            assert_answered(path, message, answer.status, &answer.body);
            answer.status == 200
        }
        Err(error) => {
            assert!(
                !error.contains("Timeout") && !error.contains("TimedOut"),
                "{path}: {error}"
            );
            false
        }
    }
}

#[test]
fn mutated_answer_reaches_the_client_whole_or_as_an_error() {
    let vendors = Vendors::start(seed(), true);
    let mut gatekeeper = vendors.gateway();
    let team = gatekeeper.team_with_budget("fuzz", "1000000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    for (path, models) in PATHS {
        let mut mutator = Mutator::new(seed(), &[]);
        let mut served = 0;
        for _ in 0..sent() {
            let streamed = mutator.once_in(2);
            let model = *mutator.pick(models);
            let message = corpus::requests(path, model, streamed).remove(0);
            served += usize::from(assert_ends(&user, path, &message));
        }
        assert!(served > 0, "{path}: no request is served");
    }
    assert_no_defect(&gatekeeper);
}
