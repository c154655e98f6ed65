from promptly.cli.app import main

main()
