//! What replicas hear of the certificates of clients: the key of that.

use proxy::{CertificatePart, Policies};

use crate::form::{Choice, List};
use crate::keys::{Key, Keys, Told};

/// Names it.
pub(super) fn certificate(keys: &mut impl Keys, it: &mut Policies) {
    let each = Choice::between(CertificatePart::ALL.map(CertificatePart::name), CertificatePart::ALL);
    let example = "tell_certificate = [\"subject\", \"fingerprint\"]";
    keys.key(
        Key::new(
            "tell_certificate",
            List { each, example, most: Some(CertificatePart::ALL.len()) },
            "what replicas hear of the certificate that a client has shown, see \
             [Certificates of clients](#certificates-of-clients)",
        )
        .default(Told::Instead("nothing")),
        &mut it.certificate,
    );
}
