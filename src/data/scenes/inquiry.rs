//! What a question with an exact answer about an annotated scene is, and which are drawn.

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The grid cell of a named object's centre, as [`super::grounding::cells`] names it.
    Cell,
    /// A point on a named object, as `[(x, y)]` in fractions of the picture.
    Point,
    /// The object at a point.
    What,
    /// Left or right.
    Side,
    /// In front or behind.
    Depth,
    /// Whether a relation holds, yes or no.
    Whether,
    /// Right beside each other, yes or no.
    Touch,
    /// Which of some objects is closest to the camera, or farthest.
    Closer,
    /// The object nearest to another one in the picture.
    Nearest,
    /// The object farthest to one side of the picture.
    Edge,
    /// What is on an object, or under it.
    Stacked,
    /// The color of an object.
    Color,
    /// The number of a kind.
    Count,
    /// The number of objects.
    Total,
    /// Whether there is a hazard mark.
    Mark,
    /// A point on the table beside an object.
    Free,
    /// The point between two objects.
    Between,
    /// The risk tier of grasping an object.
    Risk,
    /// The letter before a given name in a list of options: always with letters.
    Option,
}

impl Ask {
    /// Returns the word in the language.
    pub fn name(self) -> &'static str {
        match self {
            Ask::Cell => "cell",
            Ask::Point => "point",
            Ask::What => "what",
            Ask::Side => "side",
            Ask::Depth => "depth",
            Ask::Whether => "whether",
            Ask::Touch => "touch",
            Ask::Closer => "closer",
            Ask::Nearest => "nearest",
            Ask::Edge => "edge",
            Ask::Stacked => "stacked",
            Ask::Color => "color",
            Ask::Count => "count",
            Ask::Total => "total",
            Ask::Mark => "mark",
            Ask::Free => "free",
            Ask::Between => "between",
            Ask::Risk => "risk",
            Ask::Option => "option",
        }
    }
}

impl From<Ask> for &'static str {
    fn from(ask: Ask) -> Self {
        ask.name()
    }
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Its kind, as the language calls it.
    pub kind: &'static str,
    /// What is asked.
    pub question: String,
    /// What is right.
    pub answer: String,
    /// What is wrong but of the same form; none where the answers are no closed set.
    pub others: Vec<String>,
    /// How the question goes where its options are listed below, if another way.
    pub above_options: Option<String>,
    /// Which words of the question speak of which cell.
    pub phrases: Vec<(String, String)>,
}

impl Inquiry {
    /// A question with an open answer.
    pub fn new(kind: impl Into<&'static str>, question: String, answer: String) -> Self {
        Self { kind: kind.into(), question, answer, others: Vec::new(), above_options: None, phrases: Vec::new() }
    }

    /// The same with answers that are wrong.
    pub fn among(self, others: Vec<String>) -> Self {
        Self { others, ..self }
    }
}

/// Which questions are drawn.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Kinds, which take turns in random order.
    pub asks: Vec<Ask>,
    /// At most so many per scene.
    pub most: usize,
    /// Cells along each side of the grid.
    pub grid: usize,
    /// Share of questions with a closed set of answers that list them as lettered options.
    pub letters: f64,
    /// In many wordings and layouts.
    pub varied: bool,
    /// Every noun of the data set, in order.
    pub labels: Vec<String>,
}
