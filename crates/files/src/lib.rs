//! Files and folders that nobody else on the machine has a hand in: where they are, whose they must be, and
//! how they are written.
//!
//! Other accounts may own what stands beside ours, and may put a link where we are about to write. So a
//! folder is used only if it belongs to us (or to root) and nobody else may write there; links are not
//! followed at the last step; a new file is made exclusively; and what is replaced is replaced whole.
//!
//! # Choices
//!
//! - **Nothing falls back to `/tmp`.** A name there belongs to whoever comes first. Without a folder of its
//!   own a program says which variable or key is missing.
//! - **The parents of a folder are the operator's part.** Whoever may rename a parent of the state folder
//!   could as well replace the program.

mod folders;
mod own;
mod secret;
mod write;

pub use folders::{NoFolder, run_folder, state_folder};
pub use own::{NotOurs, ensure_own_folder, open_own};
pub use secret::{SECRET_BYTES, Secret, read_or_create_secret, read_secret};
pub use write::{create_new, replace};
