"""How do contenders share one run? By taking turns, each round beginning with another one."""
import statistics


def interleave(contenders, rounds, unit="s"):
    """contenders: {name: function that measures once and returns a number}. Returns {name: [number of each round]}."""
    names = list(contenders)
    values = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            values[name].append(contenders[name]())
        print(f"  round {number + 1}: " + ", ".join(f"{name} {values[name][-1]:.4g} {unit}" for name in names))
    print("  median:  " + ", ".join(f"{name} {statistics.median(values[name]):.4g} {unit}" for name in names))
    return values
