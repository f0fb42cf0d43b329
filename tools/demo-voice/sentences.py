"""What is spoken in training: sentences made from word lists, verses of the King James Bible, loose words.

Everything is drawn with a seed. Template sentences bring the ordinary words, numbers and questions; the Bible
(Debian packages bible-kjv and bible-kjv-text, public domain) connected prose; loose words (package scowl, the commonest
most) the spelling of all others. A sentence of HELD_OUT, which evaluation speaks, never comes out.
"""

import pathlib
import random
import re

HERE = pathlib.Path(__file__).parent

PEOPLE = """Anna Tom Peter Mary John Susan Robert Emma David Laura James Alice Henry Kate Michael Julia Daniel Sarah
George Helen Paul Nora Frank Rose Oliver Grace Martin Clara Simon Ruth""".split()
WHO = """my brother|my sister|the doctor|our neighbor|the teacher|the old man|the young woman|her father|his mother|the
driver|the captain|a friend of mine|the engineer|the children|the farmer|the manager|that boy|the girl|the students|the
painter|your uncle|the nurse|the whole family|everyone|nobody|someone|the president|the police officer|the baker|the
singer|the writer|my aunt|the king|the queen|the team|the company|a stranger|the visitor|the guide|the scientist|she|he|
they|we|I|you""".replace("\n", " ").split("|")
THINGS = """a book|the letter|some bread|the old car|a new house|the window|the door|a cup of tea|the kitchen table|her
phone|the computer|a small dog|the black cat|a red apple|the garden|a long story|the newspaper|the question|the answer|a
good idea|the money|his keys|a warm coat|the picture|the piano|the radio|a glass of water|the boat|the bicycle|the map|
the lamp|a blue shirt|the bridge|the tower|some flowers|the music|the machine|the engine|the report|an orange|the box|the
chair|the clock|a cheese sandwich|two tickets|the last train|the big suitcase|a bottle of milk|the truth|the problem|the
camera|the song|the bill|the road|the river|the fire|a gift|the ship|the wheel|the file|the message|a picture of the
lake|the test|the game|the first page|the news|the number|a piece of paper|the ring|an umbrella|the plan""".replace(
    "\n", " ").split("|")
DO = """bought|found|lost|saw|sold|opened|closed|cleaned|brought|carried|liked|wanted|needed|forgot|remembered|watched|
made|moved|took|gave away|painted|fixed|broke|put down|picked up|looked at|talked about|asked about|thought about|waited
for|paid for|wrote about|heard|noticed|showed us|changed|chose|checked|kept|left|used|held|finished|started|enjoyed|hated|
loved|understood|explained""".replace("\n", " ").split("|")
DO_NOW = """buy|find|see|sell|open|close|clean|bring|carry|like|want|need|forget|remember|watch|make|move|take|paint|fix|
break|pick up|look at|talk about|ask about|think about|wait for|pay for|hear|show me|change|choose|check|keep|leave|use|
hold|finish|start|enjoy|understand|explain""".replace("\n", " ").split("|")
WHERE = """in the park|at home|on the table|near the river|at the station|in the city|behind the house|under the bridge|in
the kitchen|on the train|at school|by the sea|in front of the church|across the street|in the mountains|on the roof|at the
market|in the office|over there|next to the bank|inside the box|on the beach|in the next room|at the airport|in the forest|
down the hill|from the shop|at the end of the road|in the north|upstairs|outside|between the trees""".replace(
    "\n", " ").split("|")
WHEN = """today|yesterday|this morning|last night|on Monday|on Tuesday|on Wednesday|on Thursday|on Friday|on Saturday|on
Sunday|in January|in March|in April|in July|in August|in October|in December|last summer|next winter|every day|last week|
two years ago|in the evening|after lunch|before dinner|at noon|at midnight|for a while|once again|right now|tomorrow|very
early|too late|at the same time|all day long|in a few minutes|during the storm|since the war""".replace("\n", " ").split("|")
HOW = """cold|warm|late|early|happy|sad|tired|hungry|ready|quiet|loud|strong|weak|open|closed|busy|free|young|old|new|
beautiful|strange|funny|dangerous|safe|expensive|cheap|easy|difficult|important|wonderful|terrible|dark|bright|clean|dirty|
heavy|light|full|empty|fast|slow|green|white|yellow|brown|short|tall|wide|narrow|deep|wet|dry|soft|hard|sweet|fresh|sick|
healthy|clear|wrong|right|true|false|alone|famous|careful|afraid|angry|sure|different|possible|perfect""".replace(
    "\n", " ").split("|")
SUBJECT = """the weather|the water|the coffee|the room|the street|the sky|the wind|the house|the music|the story|the price|
the food|the soup|the morning|the river|the road|the exercise|the work|the light|the voice|this place|the moon|the sun|the
snow|the rain|the bread|the picture|the sea|the air|the forest|the town|the winter|the language|the question|the film|the
village|the holiday|the journey""".replace("\n", " ").split("|")
ADVERB = """very|quite|rather|really|too|almost|always|never|still|often|sometimes|usually|already|perhaps|certainly|only|
not|so|just""".replace("\n", " ").split("|")
COUNTED = """apples|books|days|people|years|miles|minutes|hours|chairs|rooms|letters|dollars|pounds|birds|horses|trees|
ships|weeks|months|cars|children|stones|words|pages|questions|eggs|cups|boxes|houses|steps|windows|men|women|students|
soldiers|islands|pictures""".replace("\n", " ").split("|")
NUMBERS = """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety""".split() + ["twenty five", "thirty one", "a hundred",
    "two thousand", "a million", "three hundred and six", "forty two", "sixty seven", "ninety nine"]

TEMPLATES = """{Who} {do} {thing}.|{Who} {do} {thing} {where}.|{Who} {do} {thing} {when}.|{Person} {do} {thing} {when}.|
{Person} and {person} {do} {thing} {where}.|{Subject} was {how}.|{Subject} is {adverb} {how}.|{Subject} is {how} {when}.|
{Subject} was {how} and {how}.|Did {person} {now} {thing}?|Why did {who} {now} {thing}?|Where did you {now} {thing}?|When
will {who} {now} {thing}?|Can you {now} {thing} {when}?|Could {person} {now} {thing}, please?|Please {now} {thing}.|{Person}
will {now} {thing} {when}.|{Person} said that {subject} was {how}.|We have {number} {counted}.|There were {number} {counted}
{where}.|{Who} {do} {number} {counted} {when}.|It takes {number} {counted}.|What is {where}?|Who {do} {thing}?|How many
{counted} are {where}?|I think that {subject} is {how}.|If you {now} {thing}, {person} will {now} {thing}.|{When}, {who} {do}
{thing}.|{Where}, {subject} was {how}.|Do not {now} {thing} {where}.|You should {now} {thing} {when}.|Let us {now} {thing}
{where}.|Is {subject} {how}?|{Person} is {adverb} {how}.|Nobody knows why {subject} is so {how}.|Thank you, {person}.|Good
morning, {person}.|Hello {person}, how are you {when}?|It was {how}, but {subject} was {how}.|{Who} {do} {thing} because
{subject} was {how}.|{Person} has {digits} {counted}.|The number is {digits}.|In {year}, {who} {do} {thing}.|{Who} had to
{now} {thing}.|{Who} would never {now} {thing}.|This is {thing}.|That is not {thing}.|{Person} went {where}.|They met
{where} {when}.|What did {person} {now} {when}?|{Word} is a word.|The {word} was {how}.|They saw the {word} {where}.|What
does {word} mean?|{Person} spoke of {word} and {word}.|I like {word}, {word} and {word}.""".replace("\n", " ").split("|")


def held_out():
    """The sentences of held-out.txt, one a line: ordinary ones that pocketsphinx writes down nearly without error from the teacher's
    own speech, so that what it gets wrong is ours."""
    return [s for s in (HERE / "held-out.txt").read_text().splitlines() if s]


def fill(template, r, word):
    """A sentence of a template, by the random numbers of `r`; `word` draws a loose word."""
    draw = {"who": WHO, "thing": THINGS, "do": DO, "now": DO_NOW, "where": WHERE, "when": WHEN, "how": HOW, "subject": SUBJECT,
            "adverb": ADVERB, "counted": COUNTED, "number": NUMBERS, "person": PEOPLE}

    def drawn(match):
        name = match[1]
        if name == "digits":
            return str(r.randrange(10 ** r.randint(1, 3)))
        if name == "year":
            return str(r.randint(1800, 2030))
        chosen = word() if name.lower() == "word" else " ".join(r.choice(draw[name.lower()]).split())
        return chosen[0].upper() + chosen[1:] if name[0].isupper() else chosen

    return re.sub(r"\{(\w+)\}", drawn, " ".join(template.split()))


def plain(n, seed):
    """n sentences of templates that need no list of words: like those of training, hardly ever one of them."""
    r = random.Random(seed)
    usable = [t for t in TEMPLATES if "ord}" not in t]
    return [fill(r.choice(usable), r, None) for _ in range(n)]


def verses(path):
    """Pieces of at most 14 words, cut at punctuation."""
    pieces = []
    for line in path.read_text().splitlines():
        for piece in re.split(r"[.:;?!()]", re.sub(r"^\S+\s", "", line)):
            piece = " ".join(piece.split())
            if 3 <= len(piece.split()) <= 14 and re.fullmatch(r"[A-Za-z', -]+", piece):
                pieces.append(piece[0].upper() + piece[1:].rstrip(",") + ".")
    return pieces


class Source:
    """`kit` is the folder that `prepare` fills."""

    def __init__(self, kit, seed):
        self.random = random.Random(seed)
        self.words = [(kit / f"words{size}.txt").read_text().split() for size in (10, 20, 50)]
        self.verses = verses(kit / "verses.txt")
        self.forbidden = set(held_out())

    def _word(self):
        r = self.random.random()
        return self.random.choice(self.words[0 if r < 0.55 else 1 if r < 0.85 else 2])

    def _template(self):
        return fill(self.random.choice(TEMPLATES), self.random, self._word)

    def _words(self):
        chosen = [self._word() for _ in range(self.random.randint(1, 6))]
        return " ".join(chosen).capitalize() + "."

    def sentence(self):
        while True:
            kind = self.random.random()
            text = self._template() if kind < 0.5 else self.random.choice(self.verses) if kind < 0.65 else self._words()
            if text not in self.forbidden:
                return text
