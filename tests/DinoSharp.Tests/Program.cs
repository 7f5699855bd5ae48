// The test program: `golden [FOLDER]` runs only the golden cases and prints a line for each; anything else goes to the test runner.
return await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args);
