//! Every file that was worth keeping, tried again without a fuzzer.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_each_target_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in evenkeel_fuzz::TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
            files += 1;
        }
        assert!(files >= 10, "the corpus of {name} has {files} files");
    }
}
