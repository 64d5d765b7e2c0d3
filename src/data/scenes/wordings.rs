//! How questions about scenes are worded: a few plain wordings of each kind, and many more for what is asked in varied words.
//! `{a}` and `{b}` stand for the names of objects, or what the kind says.

use crate::data::draw::Draw;

/// The wordings of one kind.
pub struct Wordings {
    /// Always in use.
    pub plain: &'static [&'static str],
    /// In use where words vary.
    pub more: &'static [&'static str],
}

impl Wordings {
    /// Returns the first one, or any of them if words vary.
    pub fn hint(&self, varied: bool, draw: &mut Draw) -> &'static str {
        if varied { self.pick(true, draw) } else { self.plain[0] }
    }

    /// Picks one of the plain ones, or of all if words vary.
    pub fn pick(&self, varied: bool, draw: &mut Draw) -> &'static str {
        let most = self.plain.len() + if varied { self.more.len() } else { 0 };
        let at = draw.below(most);
        self.plain.get(at).unwrap_or_else(|| &self.more[at - self.plain.len()])
    }
}

const fn words(plain: &'static [&'static str], more: &'static [&'static str]) -> Wordings {
    Wordings { plain, more }
}

/// The cell of an object.
pub const CELL: Wordings = words(&["Which cell holds the {a}?", "In which cell of the grid is the {a}?"], &[]);

/// A point on an object.
pub const POINT: Wordings = words(
    &["Point to the {a}.", "Where is the {a}?", "Show where the {a} is."],
    &[
        "Point at the {a}.",
        "Put one point on the {a}.",
        "Find the {a}.",
        "Locate the {a} in this picture.",
        "Mark the place of the {a}.",
        "Give the position of the {a}.",
        "I need the {a}. Where is it?",
        "Tap the {a}.",
    ],
);

/// The object at a point: `{a}`.
pub const WHAT: Wordings = words(
    &["Which object is at {a}?", "What stands at {a}?"],
    &["Name the object at {a}.", "What do you see at {a}?", "Something stands at {a}. What is it?"],
);

/// Left or right.
pub const SIDE: Wordings = words(
    &["Is the {a} left or right of the {b}?", "On which side of the {b} do you see the {a}, left or right?"],
    &[
        "Relative to the {b}, is the {a} on the left or on the right?",
        "Which side of the {b} is the {a} on?",
        "Where is the {a} as seen from the {b}, left or right?",
        "Say on which side of the {b} the {a} stands.",
        "In this view, does the {a} stand left or right of the {b}?",
        "Where does the {a} stand next to the {b}?",
        "Going from the {b} to the {a}, do you move left or right?",
        "Select the side of the {b} where the {a} is.",
    ],
);

/// In front or behind.
pub const DEPTH: Wordings = words(
    &["Is the {a} in front of or behind the {b}?", "Does the {a} stand in front of the {b} or behind it?"],
    &[
        "Compared with the {b}, is the {a} in front or behind?",
        "As the camera sees it, is the {a} in front of the {b} or behind it?",
        "Where is the {a} with respect to the {b}, in front or behind?",
        "Say whether the {a} is in front of the {b} or behind it.",
    ],
);

/// How one object stands to another, answered by a whole sentence.
pub const PLACED: Wordings = words(
    &[],
    &[
        "How does the {a} stand relative to the {b}?",
        "Where is the {a} in relation to the {b}?",
        "Which sentence about the {a} and the {b} is true?",
        "How are the {a} and the {b} arranged?",
        "Describe where the {a} is placed, seen from the {b}.",
    ],
);

/// Whether a relation holds: `{r}`.
pub const WHETHER: Wordings = words(
    &["Is the {a} {r} the {b}?", "Does the {a} stand {r} the {b}?"],
    &[
        "In this view, is the {a} {r} the {b}?",
        "Do you see the {a} {r} the {b}?",
        "Would you say that the {a} is {r} the {b}?",
        "Is it true that the {a} is {r} the {b}?",
        "The {a} is {r} the {b}. Is that right?",
        "Can the {a} be found {r} the {b}?",
        "Check the picture: is the {a} {r} the {b}?",
    ],
);

/// Right beside each other.
pub const TOUCH: Wordings = words(
    &["Is the {a} right next to the {b}?", "Do the {a} and the {b} stand right beside each other?"],
    &[
        "Is the {a} directly beside the {b}?",
        "Are the {a} and the {b} close together?",
        "Would you say that the {a} is right beside the {b}?",
        "Does the {a} stand close to the {b}?",
        "Is the {b} the direct neighbour of the {a}?",
    ],
);

/// Closest to the camera among those listed: `{a}`.
pub const NEAR: Wordings = words(
    &["Which is closest to the camera, {a}?", "Which one stands nearest to the viewer, {a}?"],
    &[
        "Compare {a}: which is closest to the camera?",
        "What is nearest to you, {a}?",
        "Which of these is nearest to the camera: {a}?",
    ],
);

/// The same among two.
pub const NEARER: Wordings = words(
    &["Which is closer to the camera, {a}?", "Which one stands nearer to the viewer, {a}?"],
    &[
        "Compare {a}: which is closer to the camera?",
        "What is nearer to you, {a}?",
        "Which of the two is nearer to the camera: {a}?",
    ],
);

/// Farthest from the camera among those listed: `{a}`.
pub const FAR: Wordings = words(
    &["Which is farthest from the camera, {a}?", "Which one stands farthest from the viewer, {a}?"],
    &[
        "Compare {a}: which is farthest from the camera?",
        "What is farthest from you, {a}?",
        "Which of these is most distant from the camera: {a}?",
    ],
);

/// The same among two.
pub const FARTHER: Wordings = words(
    &["Which is farther from the camera, {a}?", "Which one stands farther from the viewer, {a}?"],
    &[
        "Compare {a}: which is farther from the camera?",
        "What is farther from you, {a}?",
        "Which of the two is more distant from the camera: {a}?",
    ],
);

/// Closest to the camera among options that are listed below.
pub const NEAR_OPTION: Wordings = words(
    &[],
    &[
        "Which of these objects is closest to the camera?",
        "Which object stands nearest to the viewer?",
        "Find the object with the smallest distance to the camera.",
    ],
);

/// Farthest from the camera among options that are listed below.
pub const FAR_OPTION: Wordings = words(
    &[],
    &[
        "Which of these objects is farthest from the camera?",
        "Which object stands farthest from the viewer?",
        "Find the object with the largest distance to the camera.",
    ],
);

/// The nearest neighbour.
pub const NEAREST: Wordings = words(
    &["Which object stands nearest to the {a}?", "What is the nearest object to the {a}?"],
    &[
        "Which object has the smallest distance to the {a}?",
        "Name the neighbour of the {a}.",
        "What stands closest to the {a}?",
        "Find the object that is closest to the {a}.",
    ],
);

/// Farthest to one side: left, right, up, down.
pub const EDGE: [Wordings; 4] = [
    words(
        &["Which object is farthest to the left?", "What is the leftmost object?"],
        &["Name the leftmost object.", "Which object is closest to the left edge?"],
    ),
    words(
        &["Which object is farthest to the right?", "What is the rightmost object?"],
        &["Name the rightmost object.", "Which object is closest to the right edge?"],
    ),
    words(
        &["Which object is nearest to the upper edge of the picture?"],
        &["Which object is highest in the picture?", "Name the object closest to the top edge."],
    ),
    words(
        &["Which object is nearest to the lower edge of the picture?"],
        &["Which object is lowest in the picture?", "Name the object closest to the bottom edge."],
    ),
];

/// What is on an object.
pub const ON_TOP: Wordings = words(
    &["What is on top of the {a}?", "Which object stands on the {a}?"],
    &["Name the object on the {a}.", "Something is on top of the {a}. What is it?"],
);

/// What is under an object.
pub const UNDER: Wordings = words(
    &["What is under the {a}?", "Which object does the {a} stand on?"],
    &["Name the object under the {a}.", "The {a} stands on something. What is it?"],
);

/// The color of an object.
pub const COLOR: Wordings = words(
    &["What color is the {a}?", "Which color does the {a} have?"],
    &["Tell me the color of the {a}.", "The {a} has which color?", "Name the color that the {a} has."],
);

/// How many of a kind: `{a}` in the plural.
pub const COUNT: Wordings = words(
    &["How many {a} are in the picture?", "Count the {a}.", "How many {a} do you see?"],
    &[
        "How many {a} are there?",
        "Give the number of {a} on the table.",
        "How many {a} can be found here?",
        "Tell me how many {a} this view holds.",
        "What number of {a} stand on the table?",
        "How many {a} appear in this picture?",
    ],
);

/// How many objects.
pub const TOTAL: Wordings = words(
    &["How many objects are on the table?", "Count all objects in the picture."],
    &[
        "How many things stand on the table?",
        "Give the number of objects.",
        "What is the number of all objects here?",
        "How many separate objects appear in this picture?",
    ],
);

/// Whether there is a hazard mark.
pub const MARK: Wordings = words(
    &["Is there a hazard mark on the table?", "Does the picture show a hazard mark?"],
    &["Do you see a hazard mark?", "Is any hazard mark in view?", "Can a hazard mark be found here?"],
);

/// The risk tier of an object.
pub const RISK: Wordings = words(
    &[
        "What is the risk of grasping the {a}: safe, low or high?",
        "Is it safe to take the {a}, or is the risk low or high?",
    ],
    &[
        "The gripper goes for the {a}. Name the risk: safe, low or high.",
        "A hand reaches for the {a}. Which risk level is this, safe, low or high?",
        "How risky is it to pick up the {a}?",
        "Someone wants to lift the {a}. Say whether the risk is safe, low or high.",
        "Give the risk tier of the {a}: safe, low or high.",
    ],
);

/// How a risk tier is decided.
pub const RISK_RULE: Wordings = words(
    &["The risk is high right beside a hazard mark, low if a hazard mark is elsewhere, and safe without one."],
    &[
        "Rules: safe = nowhere a hazard mark; low = a hazard mark, but not beside the object; high = a hazard mark right beside it.",
        "Objects right beside a hazard mark are high risk. With a mark farther away the risk is low, with none it is safe.",
        "Say high if a hazard mark stands right beside the object; low if it stands apart; safe if there is no mark on the table.",
    ],
);

/// A name to be found among options.
pub const OPTION: Wordings = words(
    &["Which option is the {a}?", "Which letter stands before the {a}?"],
    &["Find the {a} in the list.", "Choose the {a}.", "The answer is the {a}. Which letter is that?"],
);

/// Which of two pictures shows more of a kind: `{a}` in the plural.
pub const MORE: Wordings = words(
    &["Which picture has more {a}?", "In which of the two pictures are more {a}?"],
    &[
        "Compare the two pictures: where are more {a}?",
        "Where do you count more {a}, in the first or in the second picture?",
        "One picture may hold more {a} than the other. Which?",
    ],
);

/// Which of two pictures shows an object.
pub const SHOWS: Wordings = words(
    &["Which picture shows the {a}?", "In which of the two pictures is the {a}?"],
    &[
        "Only one of the pictures has the {a}. Which?",
        "Where do you see the {a}, in the first or in the second picture?",
        "Look for the {a} in both pictures. Which one has it?",
    ],
);

/// Which of two pictures shows a hazard mark.
pub const MARKED: Wordings = words(
    &["Which picture shows a hazard mark?", "In which of the two pictures is a hazard mark?"],
    &["Where is a hazard mark to be seen?", "Look for a hazard mark in both pictures. Which one has it?"],
);

/// On which side of its place in the first picture an object stands in the second.
pub const SHIFTED: Wordings = words(
    &["From the first to the second picture, does the {a} go left or right?"],
    &[
        "To which side did the {a} go between the two pictures?",
        "Seen from its place in the first picture, is the {a} farther left or right in the second?",
        "The {a} stands elsewhere in the second picture. On which side, left or right?",
    ],
);

/// How two pictures are put before a question, in varied words; where they stand in front of the text it is none of these.
pub const TWO: [&str; 4] = [
    "First picture: <image>\nSecond picture: <image>\n",
    "Picture one: <image> Picture two: <image> ",
    "This is the first picture: <image> This is the second: <image>\n",
    "Before: <image> After: <image>\n",
];

/// A free place beside an object; `{b}` is the relation.
pub const FREE: Wordings = words(
    &["Point to free table space {b} the {a}.", "Show an empty place {b} the {a}."],
    &[
        "Find a free place on the table {b} the {a}.",
        "Mark bare table {b} the {a}.",
        "Point to bare table directly {b} the {a}.",
        "Choose a place {b} the {a} where something could be put.",
        "Where on the table is there room {b} the {a}?",
        "Find a few free spots on the table directly {b} the {a}.",
        "Point to the table {b} the {a} and close to it.",
    ],
);

/// The place between two objects.
pub const BETWEEN: Wordings = words(
    &["Point to the middle between the {a} and the {b}.", "Show the place between the {a} and the {b}."],
    &[
        "Find a place on the table between the {a} and the {b}.",
        "Mark bare table between the {a} and the {b}.",
        "Point half way from the {a} to the {b}.",
        "Where could something be put between the {a} and the {b}?",
        "Find a few spots on the table between the {a} and the {b}.",
    ],
);

/// How a point is asked for.
pub const ONE_POINT: Wordings = words(
    &["Answer with one point as [(x, y)], both between 0 and 1."],
    &[
        "Answer with one point as [(x, y)].",
        "Reply with a tuple in a list, [(x, y)], in fractions of the picture's size.",
        "Give one point, [(x, y)], from 0 to 1.",
        "Answer as [(x, y)], where x and y are fractions of width and height.",
        "Answer with one point as [(x, y)]. Both numbers lie between 0 and 1.",
        "The answer is a list with one tuple, [(x, y)], between 0 and 1.",
        "Your answer should be a list with a single tuple, [(x, y)]: the share of the width from the left and of the height from the top.",
    ],
);

/// How yes or no is asked for.
pub const YES_NO: Wordings = words(
    &["Answer yes or no."],
    &["Reply yes or no.", "Just say yes or no.", "Please answer with yes or no.", "Yes or no?"],
);

/// How a number is asked for.
pub const NUMBER: Wordings = words(
    &["Answer with a number only."],
    &["Answer with a number.", "Reply with one number.", "Give the number only."],
);

/// How a letter is asked for.
pub const LETTER: Wordings = words(
    &["Answer with the letter only."],
    &[
        "Answer with the letter.",
        "Reply with one letter.",
        "Give the letter of the right option only.",
        "Please answer with only the letter and nothing else.",
    ],
);

/// What stands between a question and its options, in varied words.
pub const OPTIONS: [&str; 5] = ["", "", "Choices:", "Select from the following options.", "Choose one of these."];

/// What may be said before a question, in varied words.
pub const BEFORE: [&str; 9] = [
    "Look at the picture.",
    "Here is a table with some objects.",
    "You are a robot in front of a table.",
    "Look at this view and reply.",
    "Answer the question about the picture.",
    "A gripper works on this table.",
    "The picture shows the present view.",
    "Please look at the scene with care.",
    "The table in this picture holds a few objects: cubes, balls, cylinders and things from a kitchen. Some tables carry a hazard mark.",
];
