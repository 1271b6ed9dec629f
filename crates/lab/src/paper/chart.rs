//! Pictures as data: bars with what was expected of them, and lines over time or count.

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands below it.
    pub label: String,
    /// How high it is.
    pub value: f64,
    /// What was expected, and how far to either side chance may go.
    pub expected: Option<(f64, f64)>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is called in the legend.
    pub label: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Whether it shows failures, which are drawn as such.
    pub is_failure: bool,
}

/// A moment that is marked on the horizontal axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where.
    pub at: f64,
    /// What happened.
    pub label: String,
}

/// What the axes of a picture mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// The one from left to right.
    pub horizontal: String,
    /// The one from bottom to top.
    pub vertical: String,
}

impl Axes {
    /// Axes with these words at them.
    pub fn new(horizontal: &str, vertical: &str) -> Self {
        Self { horizontal: horizontal.to_owned(), vertical: vertical.to_owned() }
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Chart {
    /// Bars side by side.
    Bars {
        /// A short name for files.
        id: String,
        /// What it shows.
        title: String,
        /// What the height means.
        unit: String,
        /// The bars.
        bars: Vec<Bar>,
    },
    /// Lines over a common axis.
    Lines {
        /// A short name for files.
        id: String,
        /// What it shows.
        title: String,
        /// What its axes mean.
        axes: Axes,
        /// The lines.
        lines: Vec<Line>,
        /// Moments.
        marks: Vec<Mark>,
    },
}

impl Chart {
    /// Its short name for files.
    pub fn id(&self) -> &str {
        match self {
            Self::Bars { id, .. } | Self::Lines { id, .. } => id,
        }
    }

    /// What it shows.
    pub fn title(&self) -> &str {
        match self {
            Self::Bars { title, .. } | Self::Lines { title, .. } => title,
        }
    }
}

/// A chart that was drawn.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) svg: String,
    pub(super) png: Vec<u8>,
}

/// A picture that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("picture {id} could not be drawn: {reason}")]
pub struct DrawError {
    pub(super) id: String,
    pub(super) reason: String,
}
