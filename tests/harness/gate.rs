//! Gate: holds responses of the scripted upstream back until a test opens it, so that no test has to guess how long a
//! machine takes.

use tokio::sync::watch;

/// A gate is closed until it is opened, once, for everyone. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Gate {
        Gate(watch::Sender::new(false))
    }
}

impl Gate {
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the gate is open.
    pub async fn opened(&self) {
        // an error would mean that all senders are gone, and this is one
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
