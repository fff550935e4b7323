"""What the words of a column's name say about it."""

import re

SIDES = {
    "user": "user uid customer member visitor viewer buyer age gender sex income tenure profile history hist last past",
    "ad": "ad ads item product campaign creative advertiser brand category cat price bid video author title sku seller "
    "shop merchant format banner content",
    "context": "hour day weekday week month minute time hourmin site page position pos slot app publisher placement "
    "session query referrer network device browser os channel connection ip",
}
# Outcomes that a model is asked to predict.
TASKS = (
    "click clicked conversion converted convert purchase purchased order ordered buy bought sale sold like liked share "
    "shared follow followed install installed signup signed subscribe subscribed view viewed label target y engaged "
    "attributed response responded churn churned outcome"
)
AFTER = "conversion converted convert purchase purchased order ordered buy bought sale sold install installed signup"
# Outcomes that are features in other tables, or are known only afterwards.
OUTCOMES = (
    "comment commented forward forwarded hate enter entered dislike report reported favorite favourite collect save "
    "saved cart reply replied finish finished complete completed skip skipped hide hidden block blocked download"
)
LATE = "revenue amount dwell watch watched watching play played stay payout delay refund"
VERBS = "is has did was"
TIMES = "timestamp time ts date datetime"
# Of numbers that are written as dates.
DAYS = "date dt day datetime hour time ts timestamp"
OF_TIMES = (
    "event click impression imp request log server unix epoch utc at ms us s sec seconds millis show exposure view"
)
# Times in the life of a user or an item, not in the log.
OTHER_TIMES = (
    "birth birthday born dob signup signed register registered registration joined join upload uploaded publish "
    "published created expiry expires expire end start first last install installed attributed updated"
)
LISTS = "history hist last past tags tag list ids items keywords words title tokens"
# What numbers count, by the name's words; "age_group" and "price_id" end in another word.
QUANTITIES = (
    "num number n count cnt counts age price cost amount bid budget days hours minutes seconds secs ms duration length "
    "len width height size score rate ratio share distance weight balance income salary gain loss pct percent "
    "percentage total sum avg mean average min max freq frequency times years months weeks qty quantity level"
)
# What ids name; the last word of a name, which says what the column is.
THINGS = (
    "id ids uid uuid guid code type category cat class group key hash hour weekday zip zipcode postcode ip app device "
    "os channel user item ad campaign creative advertiser brand product sku seller shop merchant publisher site domain "
    "page author video music artist tag city region country state isp carrier network model session cookie query "
    "placement slot keyword browser segment cluster bucket bin range"
)


def words(name: str) -> list[str]:
    """The words of a name in lower case, without digits.

    Example:
    >>> words("userId"), words("follow_user_num2")
    (['user', 'id'], ['follow', 'user', 'num'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[\W_\d]+", spaced.lower()) if word]


def among(name: str, telling: str) -> bool:
    """Whether one of a name's words is among some.

    Example:
    >>> among("is_attributed", TASKS)
    True
    """
    return not set(telling.split()).isdisjoint(words(name))
