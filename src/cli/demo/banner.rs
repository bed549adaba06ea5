//! What the demo prints when it is ready: where it listens, its keys, and commands that can be pasted as they stand.

use std::net::SocketAddr;
use std::path::Path;

use super::secrets::Secrets;
use super::{LARGE, SMALL};

/// A command that can be pasted into a shell, under a line that says what it shows.
struct SampleCommand {
    title: &'static str,
    command: String,
}

pub fn text(address: SocketAddr, data: &Path, secrets: &Secrets) -> String {
    let commands: Vec<String> = commands(address, secrets)
        .iter()
        .map(|shown| format!("# {}\n{}\n", shown.title, shown.command))
        .collect();
    format!(
        "\
Gatekeeper's demo listens on http://{address}. Behind it is a simulator, not a model: the text means nothing, the
money is invented, everything else is real. Data folder: {}

  OpenAI SDKs      base URL  http://{address}/v1
  Anthropic SDKs   base URL  http://{address}
  virtual key      {}    (team engineering)
  administrative   {}

{}
Ctrl-C stops the demo; the next start finds everything again.
",
        data.display(),
        key(secrets, "engineering"),
        secrets.admin_key(),
        commands.join("\n"),
    )
}

fn commands(address: SocketAddr, secrets: &Secrets) -> Vec<SampleCommand> {
    let question = |text: &str| format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#);
    let chat = |team: &str, model: &str, more: &str| {
        post(
            address,
            "/v1/chat/completions",
            key(secrets, team),
            &format!(r#"{{"model":"{model}",{more}{}}}"#, question("Hello")),
        )
    };
    let message = format!(
        r#"{{"model":"{SMALL}","max_tokens":100,{}}}"#,
        question("Hello")
    );
    vec![
        SampleCommand {
            title: "A streamed answer; the cost is the last comment.",
            command: chat("engineering", LARGE, r#""stream":true,"#),
        },
        SampleCommand {
            title: "The same gateway in Anthropic's dialect.",
            command: post(
                address,
                "/v1/messages",
                key(secrets, "engineering"),
                &message,
            ),
        },
        SampleCommand {
            title: "What was just booked.",
            command: format!(
                "curl -s 'http://{address}/v1/requests?limit=2' -H 'Authorization: Bearer {}'",
                secrets.admin_key()
            ),
        },
        SampleCommand {
            title: "Refused, 403: marketing may not call this model.",
            command: chat("marketing", LARGE, ""),
        },
        SampleCommand {
            title: "Refused, 402: support has used up its budget.",
            command: chat("support", SMALL, ""),
        },
    ]
}

fn post(address: SocketAddr, path: &str, key: &str, body: &str) -> String {
    format!(
        "curl -sN http://{address}{path} -H 'Authorization: Bearer {key}' \\\n  -H 'Content-Type: application/json' -d '{body}'"
    )
}

fn key<'a>(secrets: &'a Secrets, team: &str) -> &'a str {
    secrets.key(team).unwrap_or("(no key)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    #[test]
    fn every_command_has_a_body_that_is_json_and_quotes_that_close() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut secrets = Secrets::new(folder.path(), &Secret::new("sk-gk-master-x"));
        for team in ["engineering", "marketing", "support"] {
            secrets
                .keep(team, &format!("sk-gk-{team}-x"))
                .expect("saved");
        }
        let commands = commands("127.0.0.1:4000".parse().expect("an address"), &secrets);
        assert_eq!(commands.len(), 5);
        for shown in commands {
            assert_eq!(
                shown.command.matches('\'').count() % 2,
                0,
                "{}",
                shown.command
            );
            if let Some((_, body)) = shown.command.split_once("-d ") {
                let body: serde_json::Value =
                    serde_json::from_str(body.trim_matches('\'')).expect("JSON");
                assert!(body["model"].is_string() && body["messages"].is_array());
            }
        }
    }
}
