"""`python -m orchestration <verb>`."""

from orchestration.cli import main

if __name__ == "__main__":
    main()
