//! Rotation, expiry, disabling and deletion are in force on the very next request on every worker.

use serde_json::{Value, json};

use super::{Tenancy, create};
use crate::budget::call::Call;
use crate::harness::client::{self, Connection};
use crate::harness::in_process::InProcessGateway;
use crate::harness::instance::text;

/// Connections that are open during the change: several for each worker.
const CONNECTIONS: usize = 12;

fn connections(gateway: &InProcessGateway, key: &Value) -> Vec<Connection> {
    let user = client::user(gateway.address(), &text(key, "key"));
    (0..CONNECTIONS).map(|_| user.connect()).collect()
}

/// Calls over every connection; asserts one status for all.
#[track_caller]
fn assert_all(connections: &mut [Connection], status: u16) {
    let call = Call::chat().at_most(5).body();
    for connection in connections {
        connection.chat(&call).assert_status(status);
    }
}

#[test]
fn change_of_a_key_is_in_force_on_the_next_request_of_every_connection() {
    let tenancy = Tenancy::start();
    let (gateway, admin) = (&tenancy.gateway, tenancy.gateway.admin());
    let new = |name: &str, expires: &str| {
        let key = json!({"name": name, "team": "rockets", "expires": expires});
        create(&admin, "keys", &key)
    };
    type Ending<'e> = (&'static str, &'e dyn Fn(&str));
    let endings: [Ending<'_>; 4] = [
        ("rotation", &|path| {
            let body = json!({"grace": "0h"});
            admin
                .post(&format!("{path}/rotate"), &body)
                .assert_status(200);
        }),
        ("disabling", &|path| {
            admin
                .patch(path, &json!({"disabled": true}))
                .assert_status(200);
        }),
        ("deletion", &|path| {
            admin.delete(path).assert_status(204);
        }),
        ("expiry", &|_| gateway.clock.advance_ms(3_600_001)),
    ];
    for (name, end) in endings {
        let key = new(name, "60m");
        let mut open = connections(gateway, &key);
        assert_all(&mut open, 200);
        end(&format!("/v1/keys/{}", text(&key, "id")));
        assert_all(&mut open, 401);
    }
}
