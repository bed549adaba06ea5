//! Banner of the demo: address, keys, and six steps to paste into a shell, within 80 columns.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::secrets::Secrets;
use super::teams::{LARGE, SMALL, SPENDER};
use crate::cli::style::{Style, Tone};

/// Facts that the banner tells.
pub struct Banner<'a> {
    pub address: SocketAddr,
    pub data: &'a Path,
    pub secrets: &'a Secrets,
    /// the command as the user typed it
    pub program: &'a str,
    pub style: &'a Style,
}

/// A step: a title, a remark, and lines to paste.
struct Step {
    title: &'static str,
    commands: Vec<String>,
}

impl Banner<'_> {
    pub fn text(&self) -> String {
        let address = self.address;
        let title = format!("Gatekeeper's demo runs on http://{address}");
        let steps = self.steps();
        let steps = steps.iter().enumerate().map(|(at, step)| {
            let title = format!("{}. {}", at + 1, step.title);
            let title = self.style.paint(Tone::Strong, &title);
            format!("{title}\n\n{}\n", step.commands.join("\n"))
        });
        format!(
            "\
{}

  dashboard   http://{address}/ui/  (sign in with the admin key)
  admin key   {}
  data        {}
{}
Its provider is a simulator: texts and prices are invented, the rest is real.
Open a second terminal in this folder and paste:

  export OPENAI_BASE_URL=http://{address}/v1
  export OPENAI_API_KEY={}

{}
",
            self.style.paint(Tone::Strong, &title),
            self.secrets.admin_key(),
            self.data.display(),
            self.history(),
            self.key("engineering"),
            steps.collect::<Vec<_>>().join("\n"),
        )
    }

    /// Last line; the demo serves once it is printed.
    pub fn closing(&self) -> String {
        let text = "Ctrl-C stops the demo; the next start continues with the same data.\n";
        self.style.paint(Tone::Dim, text.trim_end()) + "\n"
    }

    fn history(&self) -> String {
        let Some(history) = self.secrets.history() else {
            return String::new();
        };
        let style = self.style;
        format!(
            "  history     {} days, {} requests, {}, {} refused; all invented\n",
            history.days,
            style.count(&json!(history.requests)),
            style.money(&json!(history.cost_usd)),
            style.count(&json!(history.refused)),
        )
    }

    fn steps(&self) -> Vec<Step> {
        let program = self.program;
        let usage = match self.secrets.history() {
            Some(history) => format!("  {program} usage --since {}d", history.days),
            None => format!("  {program} usage"),
        };
        vec![
            Step {
                title: "Ask for a short answer. The stream ends with its cost.",
                commands: streamed_question(),
            },
            Step {
                title: "See what was spent, by team and model.",
                commands: vec![usage],
            },
            Step {
                title: "See why your question cost what it cost.",
                commands: vec![format!("  {program} requests explain --last")],
            },
            Step {
                title: "Meet a budget that is used up: team support gets a 402.",
                commands: [format!("  {program} budgets list")]
                    .into_iter()
                    .chain(question(self.key(SPENDER), SMALL))
                    .collect(),
            },
            Step {
                title: "Meet a model that team marketing may not call: 403.",
                commands: question(self.key("marketing"), LARGE),
            },
            Step {
                title: "Send your coding agent through it: Claude Code, Codex.",
                commands: self.agents(),
            },
        ]
    }

    fn agents(&self) -> Vec<String> {
        let claude = format!(
            "  ANTHROPIC_BASE_URL=http://{} \\\n    ANTHROPIC_AUTH_TOKEN=$OPENAI_API_KEY \\\n    \
             ANTHROPIC_DEFAULT_HAIKU_MODEL={SMALL} claude --model {LARGE}\n",
            self.address
        );
        let codex = format!(
            "  codex -m {LARGE} -c model_provider=gatekeeper \\\n    \
             -c model_providers.gatekeeper.name=Gatekeeper \\\n    \
             -c model_providers.gatekeeper.base_url=$OPENAI_BASE_URL \\\n    \
             -c model_providers.gatekeeper.env_key=OPENAI_API_KEY \\\n    \
             -c model_providers.gatekeeper.wire_api=responses"
        );
        vec![claude, codex]
    }

    /// The same question with the SDKs of OpenAI, which read the two variables.
    pub fn snippets(&self) -> String {
        let title = |text: &str| self.style.paint(Tone::Strong, text);
        format!(
            "\
{}

  from openai import OpenAI
  answer = OpenAI().chat.completions.create(
      model=\"{LARGE}\", messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}])
  print(answer.choices[0].message.content)

{}

  import OpenAI from \"openai\";
  const answer = await new OpenAI().chat.completions.create({{
    model: \"{LARGE}\", messages: [{{ role: \"user\", content: \"Hello\" }}] }});
  console.log(answer.choices[0].message.content);

",
            title("Python (pip install openai)"),
            title("JavaScript (npm install openai)"),
        )
    }

    fn key(&self, team: &str) -> &str {
        self.secrets.key(team).unwrap_or("(no key)")
    }
}

/// A streamed question with curl, in full.
fn streamed_question() -> Vec<String> {
    [
        "  curl -sN $OPENAI_BASE_URL/chat/completions \\",
        "    -H \"Authorization: Bearer $OPENAI_API_KEY\" \\",
        "    -H \"Content-Type: application/json\" \\",
        &format!("    -d '{{\"model\": \"{LARGE}\", \"stream\": true,"),
        "         \"messages\": [{\"role\": \"user\", \"content\": \"Hello, tokens=8\"}]}'",
    ]
    .map(str::to_owned)
    .into()
}

/// A question with curl in three lines, which fit every key.
fn question(key: &str, model: &str) -> Vec<String> {
    let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
    vec![
        "  curl -sw '\\n' $OPENAI_BASE_URL/chat/completions \\".to_owned(),
        // the header of Anthropic's SDKs is shorter
        format!("    -H 'x-api-key: {key}' \\"),
        format!("    -d '{{\"model\":\"{model}\",{messages}}}'"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::secrets::PlayedHistory;
    use crate::domain::secret::Secret;

    fn secrets(folder: &Path) -> Secrets {
        // random part and checksum of a key have 34 characters
        let random = "x".repeat(34);
        let mut secrets = Secrets::new(folder, &Secret::new(format!("sk-gk-master-{random}")));
        for team in ["engineering", "marketing", "support"] {
            secrets
                .add(team, &format!("sk-gk-{team}-{random}"))
                .expect("saved");
        }
        secrets
    }

    fn banner<'a>(secrets: &'a Secrets, style: &'a Style) -> Banner<'a> {
        Banner {
            address: "127.0.0.1:4000".parse().expect("an address"),
            data: Path::new("gatekeeper-demo"),
            secrets,
            program: "target/release/gatekeeper",
            style,
        }
    }

    #[test]
    fn banner_fits_eighty_columns_and_has_six_steps() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut secrets = secrets(folder.path());
        let style = Style::default();
        let without = banner(&secrets, &style).text();
        secrets
            .set_history(PlayedHistory {
                days: 30,
                requests: 12_345,
                refused: 1_234,
                cost_usd: "1234.5678".to_owned(),
            })
            .expect("saved");
        let banner = banner(&secrets, &style);
        let text = without + &banner.text() + &banner.snippets() + &banner.closing();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for expected in [
            "6. Send your coding agent",
            "30 days, 12,345 requests",
            "usage --since 30d",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(text.matches("  export ").count(), 4, "two variables, twice");
    }

    #[test]
    fn sample_questions_have_json_bodies() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (secrets, style) = (secrets(folder.path()), Style::default());
        let text = banner(&secrets, &style).text();
        let bodies: Vec<&str> = text
            .split("-d '")
            .skip(1)
            .filter_map(|rest| rest.split_once('\''))
            .map(|(body, _)| body)
            .collect();
        assert_eq!(bodies.len(), 3);
        for body in bodies {
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert!(body["model"].is_string() && body["messages"].is_array());
        }
    }
}
