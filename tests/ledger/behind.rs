//! Books behind the log: what is logged and not booked yet is never "not found", nor passed over by a list or a correction.

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{hello, wait_until};

const BOOKS: &str = "gatekeeper.redb";

fn assert_behind(response: &Response) {
    response.assert_status(503);
    assert_eq!(response.json()["error"]["code"], "ledger_unavailable");
    assert_eq!(response.header("retry-after"), Some("1"));
    let message = response.error_message();
    assert!(message.contains("books behind the log"), "{message}");
}

/// Answers to the same questions, asked at once.
fn answers(gateway: &InProcessGateway, paths: &[String]) -> Vec<Response> {
    std::thread::scope(|scope| {
        let asked = paths.iter().map(|path| {
            let admin = gateway.admin();
            scope.spawn(move || match path.split_once(' ') {
                Some((path, request)) => {
                    let body = json!({"request": request, "amount": "-$0.00001", "reason": "test"});
                    admin.post(path, &body)
                }
                None => admin.get(path),
            })
        });
        let asked: Vec<_> = asked.collect();
        let answers = asked.into_iter().map(|asked| asked.join());
        answers.map(|answer| answer.expect("an answer")).collect()
    })
}

#[test]
fn request_in_the_log_and_not_in_the_books_is_a_retryable_error() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|seen| {
        match seen.json()["model"].as_str() {
            Some("m-large") => Script::json(500, &json!({"error": {"message": "broken"}})),
            _ => model::with_usage(10, 20),
        }
    }));
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team_with_budget("eng", "1");
    let user = gateway.user(&gateway.key_of(&team));
    let call = |model: &str| {
        let answer = user.chat(&hello(model));
        let id = answer.header("x-gatekeeper-request-id");
        id.expect("an id").to_owned()
    };
    let (ended, failed) = (call("m-small"), call("m-large"));
    assert_eq!(gateway.requests().len(), 2);
    gateway.disk.stall_writes(Some(BOOKS));
    let unbooked = call("m-small");
    let shown = |id: &str| format!("/v1/requests/{id}");
    let corrected = |id: &str| format!("/v1/ledger/corrections {id}");
    let behind = [
        shown(&unbooked),
        // another attempt of it may be in the log
        shown(&failed),
        corrected(&unbooked),
        "/v1/ledger/orphans".to_owned(),
    ];
    answers(&gateway, &behind).iter().for_each(assert_behind);
    let honest = ["/v1/requests", "/v1/usage", &shown(&ended)].map(str::to_owned);
    let honest: Vec<Value> = answers(&gateway, &honest)
        .iter()
        .map(|answer| answer.assert_status(200).json())
        .collect();
    assert_eq!(honest[0]["complete_before"], Value::Null);
    assert_eq!(honest[1]["as_of"], Value::Null);
    assert_eq!(honest[2]["id"], json!(ended));
    gateway.disk.stall_writes(None);
    wait_until("the books have caught up", || {
        let metric = |name: &str| gateway.metric(&format!("gatekeeper_ledger_{name}"));
        metric("applied") == metric("written")
    });
    let booked = answers(&gateway, &behind);
    let statuses: Vec<u16> = booked.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 201, 200]);
    assert_eq!(gateway.requests().len(), 3);
}
