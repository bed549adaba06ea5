//! Connections to upstreams that no call uses.

use serde_json::json;

use crate::harness::gate::Gate;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

/// They were closed by the next call, and stayed open where none came.
#[test]
fn idle_upstream_connections_close_without_a_next_call() {
    const CALLS: usize = 8;
    let upstream = Upstream::start();
    let gate = Gate::default();
    upstream.respond_with(model::with_usage(5, 5).held_by(&gate));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("burst", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let body = json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
    std::thread::scope(|scope| {
        for _ in 0..CALLS {
            scope.spawn(|| user.chat(&body).assert_status(200).cost());
        }
        upstream.wait_for_requests(CALLS);
        gate.open();
    });
    let opened = upstream.connection_count();
    assert_eq!(opened, CALLS);
    upstream.wait_for_closed(CALLS);
}
