"""Readable names: people look at slates in a report, and 'Barista at Kaede Foods' is easier to judge than a number."""

from __future__ import annotations

from itertools import product

ROLES: dict[str, tuple[str, ...]] = {
    "engineering": ("Backend engineer", "Frontend engineer", "Data engineer", "Site reliability engineer", "Tester"),
    "sales": ("Account manager", "Shop assistant", "Sales planner", "Call centre agent", "Store manager"),
    "care": ("Care worker", "Nurse", "Physiotherapist", "Childminder", "Home helper"),
    "kitchen": ("Cook", "Kitchen porter", "Barista", "Pastry chef", "Waiter"),
    "logistics": ("Forklift driver", "Courier", "Warehouse picker", "Dispatcher", "Lorry driver"),
    "office": ("Accountant", "Receptionist", "Office clerk", "Payroll specialist", "Translator"),
}
JOB_TYPES = tuple(ROLES)
EMPLOYMENTS = ("full_time", "part_time", "contract", "temporary")
TENURES = ("new", "regular", "veteran")
KEYWORDS = (
    "remote", "no experience", "near station", "weekend", "night shift", "high wage", "student", "english",
    "short hours", "bonus", "dormitory", "career change", "flexible", "team lead", "python", "driving licence",
    "cafe", "hospital", "paid weekly", "childcare", "startup", "uniform", "meals", "holiday job",
)  # fmt: skip
HOSTILE_TITLE = "<script>alert(1)</script>"
"""A post's title is anything that somebody typed; whoever shows it must show it as text."""

_FIRST = (
    "Aozora", "Hikari", "Kaede", "Midori", "Sakura", "Takumi", "Umi", "Yamato", "Asahi", "Fuji", "Hoshi", "Izumi",
    "Kawa", "Minato", "Nami", "Ogawa", "Ritsu", "Sora", "Tsubasa", "Wakaba", "Yuki", "Aoi", "Chidori", "Haru", "Kiri",
)  # fmt: skip
_SECOND = (
    "Foods", "Systems", "Clinic", "Logistics", "Stores", "Works", "Partners", "Energy", "Homes", "Mobility", "Kitchens",
    "Software",
)  # fmt: skip
COMPANIES = tuple(f"{first} {second}" for first, second in product(_FIRST, _SECOND))
