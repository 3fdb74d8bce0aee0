"""Mutexes: one goroutine at a time, where several change the same thing in more than one step."""

from gopy import sync


class Bank:
    """Accounts; mu guards them."""

    def __init__(self, accounts: dict[str, int]) -> None:
        self.mu = sync.Mutex()
        self.accounts = accounts

    def transfer(self, payer: str, payee: str, amount: int) -> bool:
        with self.mu:  # Go's Lock and deferred Unlock
            if self.accounts[payer] < amount:
                return False
            self.accounts[payer] -= amount
            self.accounts[payee] += amount
            return True


def main() -> None:
    b = Bank({"ada": 1000, "bob": 1000, "cleo": 1000})
    names = ["ada", "bob", "cleo"]

    wg = sync.WaitGroup()

    def give(i: int) -> None:
        for _ in range(300):
            b.transfer(names[i], names[(i + 1) % 3], 1)

    for i in range(3):
        wg.go(give, i)
    wg.wait()

    # Everyone has given 300 and got 300, and nothing was lost between two goroutines.
    total = 0
    for name in names:
        print(name, "has", b.accounts[name])
        total += b.accounts[name]
    print("in all:", total)
    if not b.transfer("ada", "bob", 5000):
        print("ada does not have 5000")


if __name__ == "__main__":
    main()
