// The test program: `golden [FOLDER]` runs only the golden cases and prints a line for each; anything else goes to the test runner.
if (args is ["golden", .. string[] folders]) return DinoSharp.Tests.Golden.GoldenRunner.RunFolders(folders);
return await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args);
