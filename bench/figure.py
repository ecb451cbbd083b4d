"""What does a benchmark report? Figures: a number, its target, and the single values it was made of."""
import statistics
from dataclasses import dataclass, field


@dataclass
class Figure:
    """target: ("<=", bound) or (">=", bound); None where a number only informs."""
    benchmark: str
    name: str
    value: float
    unit: str = "x"
    target: tuple = None
    rounds: dict = field(default_factory=dict)  # contender -> its values, one a round

    @property
    def met(self):
        if self.target is None:
            return None
        relation, bound = self.target
        return self.value <= bound if relation == "<=" else self.value >= bound

    def record(self):
        target = None if self.target is None else f"{self.target[0]} {self.target[1]:g}"
        return {"name": self.name, "value": self.value, "unit": self.unit, "target": target, "met": self.met,
                "rounds": self.rounds}


def median_ratio(over, under):
    """Median of the ratios of each round: what slows a whole round down cancels out."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table(figures):
    rows = [("benchmark", "figure", "value", "target", "")]
    for figure in figures:
        target = "" if figure.target is None else f"{figure.target[0]} {_text(figure.target[1], figure.unit)}"
        rows.append((figure.benchmark, figure.name, _text(figure.value, figure.unit), target,
                     {None: "", True: "pass", False: "MISS"}[figure.met]))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.rjust(width) if column in (2, 3) else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def _text(value, unit):
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return number + ("x" if unit == "x" else f" {unit}")
