//! Price sheet for the commands that read the configuration: that of the server that runs on the data folder, else that of the release.

use std::path::Path;
use std::sync::Arc;

use crate::cli::admin::AdminClient;
use crate::price::Sheet;

/// Asks the server over its admin socket; opens no other connection, and never the books.
pub async fn in_force(folder: &Path) -> Arc<Sheet> {
    let admin = AdminClient::in_folder(folder);
    let answer = admin.call("GET", "/v1/prices/sheet/text", None).await;
    let of_server = match &answer {
        Ok((200, text)) => Sheet::parse(text).ok(),
        _ => None,
    };
    Arc::new(of_server.unwrap_or_else(Sheet::embedded))
}
