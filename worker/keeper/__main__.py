from worker.keeper.process import main

main()
