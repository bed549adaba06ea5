//! `gatekeeper requests tail`: prints requests as they end, until Ctrl-C or a closed pipe.

use std::io::{self, Write};

use serde_json::Value;

use super::row::{FilterArgs, columns, row};
use crate::cli::admin::{ServerArgs, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::style::Style;
use crate::cli::table::Table;
use crate::cli::values::rows;

/// Requests before the first followed one.
const EARLIER_ROWS: usize = 10;
const WAIT_S: u64 = 30;

#[derive(Clone, Debug, clap::Args)]
pub struct TailArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn tail(args: TailArgs) -> Result<(), Failure> {
    let (admin, style) = (args.server.admin()?, args.server.style());
    let filter = args.filter.query(&admin).await?;
    let first = admin
        .get(&format!("/v1/requests?limit={EARLIER_ROWS}{filter}"))
        .await?;
    let mut earlier = rows(&first["data"]).to_vec();
    earlier.reverse();
    let mut output = RequestOutput {
        style,
        is_json: args.server.json,
        has_heading: false,
    };
    let mut follow = first["follow"].clone();
    let mut is_open = output.write(&earlier);
    while let (true, Some(cursor)) = (is_open, follow.as_str()) {
        let cursor = percent_encode(cursor);
        let path = format!("/v1/requests?wait={WAIT_S}&after={cursor}{filter}");
        let page = admin.get(&path).await?;
        is_open = output.write(rows(&page["data"]));
        follow = page["follow"].clone();
    }
    Ok(())
}

/// Standard output as a table that grows, or a JSON object a line.
struct RequestOutput {
    style: Style,
    is_json: bool,
    has_heading: bool,
}

impl RequestOutput {
    /// Writes the requests; false once the pipe is closed.
    fn write(&mut self, requests: &[Value]) -> bool {
        if requests.is_empty() {
            return true;
        }
        let text = if self.is_json {
            requests
                .iter()
                .map(|request| format!("{request}\n"))
                .collect()
        } else {
            self.rendered(requests)
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_ok()
    }

    /// The columns keep their widths only within a batch; the heading is written once.
    fn rendered(&mut self, requests: &[Value]) -> String {
        let mut table = Table::new(columns());
        for request in requests {
            table.row(row(request, &self.style));
        }
        let text = table.render(&self.style);
        if std::mem::replace(&mut self.has_heading, true) {
            let lines = text.lines().skip(1).take(requests.len());
            return lines.map(|line| format!("{line}\n")).collect();
        }
        text
    }
}
